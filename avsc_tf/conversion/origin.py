"""Where a conversion comes from: the bundle that makes it, and who allowed it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from avsc_tf.consent import Consent


@dataclass(frozen=True)
class Origin:
    """Of one bundle.

    Args:
        bundle_digest: "sha256:..." of all its parts (`digests.bundle_digest`); "" of networks from elsewhere.
        consents: the target's consent record, or those of both bundles.
    """

    bundle_digest: str = ""
    consents: tuple[Consent, ...] = ()

    def check(self) -> None:
        """Raise ConsentError where a consent has ended, also since the bundle was loaded."""
        for consent in self.consents:
            consent.check("consent.yaml")

    def beside(self, other: Origin) -> Origin:
        """Of two bundles that convert together."""
        both = hashlib.sha256(f"{self.bundle_digest}\n{other.bundle_digest}\n".encode()).hexdigest()
        return Origin(f"sha256:{both}", tuple(dict.fromkeys((*self.consents, *other.consents))))
