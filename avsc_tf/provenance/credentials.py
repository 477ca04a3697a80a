"""Content Credentials (C2PA): written into a finished file, and read from any. Nothing is fetched from a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import c2pa

from avsc_tf.core.errors import OutputError, ProvenanceError
from avsc_tf.core.files import explain, reserve
from avsc_tf.provenance.identity import Identity

GENERATOR = "avsc_tf"
ROOM_BYTES = 1 << 17  # that credentials may take beside the media: 20 kB, more with a long chain of certificates
ASSERTION = "org.avsc-tf.conversion"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
}
SETTINGS: dict[str, Any] = {
    "verify": {
        "verify_after_sign": False,
        "verify_trust": True,
        "ocsp_fetch": False,
        "remote_manifest_fetch": False,
    },
    "builder": {"thumbnail": {"enabled": False}},
}
_EXPIRED = ("signingCredential.expired", "claimSignature.outsideValidity")
_UNTRUSTED = "signingCredential.untrusted"
_NO_MATTER = (_UNTRUSTED, *_EXPIRED)


@dataclass(frozen=True)
class Credentials:
    """What a file's credentials say, and what that is worth.

    Attributes:
        state: "trusted" (whole, and signed by somebody on the list), "untrusted" (whole; the signer is not on the
            list), "expired" (whole, but the certificate's time is over), "tampered", "unreadable", "absent".
        signer: the certificate's name, with the organisation's.
        generator: the software that is named, with its version.
        conversion: what avsc_tf writes: bundle, seed, vocoder, consent.
        trained_media: whether they say that a trained algorithm made the file.
        problems: C2PA's codes of what failed.
    """

    state: str
    signer: str = ""
    generator: str = ""
    conversion: Mapping[str, Any] = field(default_factory=dict)
    trained_media: bool = False
    problems: tuple[str, ...] = ()


def software_version() -> str:
    """Of this package; "unknown" where it runs without being installed."""
    try:
        return version(GENERATOR)
    except PackageNotFoundError:
        return "unknown"


def sign_file(
    path: Path,
    *,
    suffix: str,
    conversion: Mapping[str, Any],
    identity: Identity,
    timestamp_url: str | None = None,
    name: Path | None = None,
) -> None:
    """Put signed credentials into a finished file, which is replaced at once and whole.

    Args:
        path: the file, of any name.
        suffix: what it is, of `MEDIA_TYPES`.
        conversion: plain values for the own assertion.
        timestamp_url: of a time stamp authority (RFC 3161); it is asked over the network.
        name: that the file will have, for errors.

    Raises:
        ProvenanceError: the certificate does not suit C2PA, or the authority does not answer.
        OutputError: the disk is full.
    """
    claim = {
        "claim_generator_info": [{"name": GENERATOR, "version": software_version()}],
        "title": "Converted by avsc_tf",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TRAINED}]},
            },
            {"label": ASSERTION, "data": dict(conversion)},
        ],
    }
    signed = path.with_suffix(".signed")
    try:
        reserve(signed, path.stat().st_size + ROOM_BYTES)  # c2pa reports a full disk as an error without a name
        info = c2pa.C2paSignerInfo(
            identity.algorithm, identity.certificates.encode(), identity.private_key.encode(), timestamp_url
        )
        with (
            c2pa.Context.from_dict(SETTINGS) as context,
            c2pa.Builder(json.dumps(claim), context) as builder,
            c2pa.Signer.from_info(info) as signer,
            path.open("rb") as source,
            signed.open("w+b") as target,
        ):
            builder.sign(signer, MEDIA_TYPES[suffix], source, target)
        os.replace(signed, path)
    except c2pa.C2paError as error:
        if reason := explain(error, name or path):
            raise OutputError(reason) from error
        raise ProvenanceError(
            f"{name or path}: cannot be signed as {identity.name or 'named'} ({error}). What certificates must be "
            "like: docs/provenance.md."
        ) from error
    finally:
        signed.unlink(missing_ok=True)


def read_credentials(path: Path, *, trusted: str = "") -> Credentials:
    """The credentials in a file of any kind.

    Args:
        trusted: certificates (PEM) of roots whose signers are to be trusted.
    """
    settings = {**SETTINGS, **({"trust": {"user_anchors": trusted}} if trusted else {})}
    try:
        with c2pa.Context.from_dict(settings) as context, path.open("rb") as stream:
            reader = c2pa.Reader.try_create(MEDIA_TYPES.get(path.suffix.lower()), stream, context=context)
            if reader is None:
                return Credentials("absent")
            with reader:
                return _from_report(json.loads(reader.json()))
    except c2pa.C2paError.NotSupported:
        return Credentials("absent", problems=("this kind of file cannot hold any",))
    except (c2pa.C2paError, ValueError) as error:
        return Credentials("unreadable", problems=(" ".join(str(error).split())[:200],))


def _from_report(report: Mapping[str, Any]) -> Credentials:
    manifest = report["manifests"].get(report.get("active_manifest"), {})
    info = (manifest.get("claim_generator_info") or [{}])[0]
    signature = manifest.get("signature_info") or {}
    assertions = manifest.get("assertions") or []
    results = (report.get("validation_results") or {}).get("activeManifest") or {}
    failures = tuple(dict.fromkeys(entry["code"] for entry in results.get("failure", [])))
    return Credentials(
        state=_state(report.get("validation_state", ""), failures),
        signer=", ".join(str(signature[name]) for name in ("common_name", "issuer") if signature.get(name)),
        generator=" ".join(str(info[name]) for name in ("name", "version") if info.get(name)),
        conversion=next((a["data"] for a in assertions if a["label"].startswith(ASSERTION)), {}),
        trained_media=any(TRAINED in json.dumps(a.get("data")) for a in assertions if "c2pa.actions" in a["label"]),
        problems=failures,
    )


def _state(validation_state: str, failures: tuple[str, ...]) -> str:
    if any(code not in _NO_MATTER for code in failures):
        return "tampered"
    if any(code in _EXPIRED for code in failures):
        return "expired"
    return "trusted" if validation_state == "Trusted" else "untrusted"
