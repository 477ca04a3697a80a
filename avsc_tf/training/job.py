"""One training as `avsc train` is asked for it: to be done in this process, or in many."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc_tf.core.config import Config
from avsc_tf.core.consent import Consent, consent_for, keep_consent


@dataclass(frozen=True)
class TrainingJob:
    """What to train, from what, into which run folder.

    Args:
        network: one of `runs.NETWORKS`.
        records: made by avsc prepare; None where `pretrain` names folders of speech instead (WaveNet).
        n_devices: of each machine.
        dry_run: say what the training would be, and write nothing; not of `pretrain`.
        consent: the target's consent record; None takes that of the records. Folders of speech need none: a WaveNet
            alone converts nobody.
    """

    network: str
    config: Config
    run: Path
    records: Path | None = None
    resume: bool = False
    init_from: Path | None = None
    pretrain: tuple[Path, ...] = ()
    skip_bad: bool = False
    n_devices: int = 1
    dry_run: bool = False
    consent: Path | None = None

    def check_consent(self) -> Consent | None:
        """The target's record, or None where none is asked for. Raises ConsentError."""
        if self.records is None or self.dry_run:
            return None
        return consent_for(self.records, self.consent, setting=self.config.consent)

    def do(self) -> None:
        """Train in this process, beside others where `TF_CONFIG` names them. Raises AvscError."""
        consent = self.check_consent()
        from avsc_tf.training.engine.devices import choose_devices
        from avsc_tf.training.engine.run_folder import own_run

        devices = choose_devices(self.n_devices)
        with ExitStack() as stack:
            if not self.dry_run:
                devices.decide(lambda: stack.enter_context(own_run(self.run, self.network)))  # by the chief alone
            self._train(devices, consent)

    def _train(self, devices: Any, consent: Consent | None) -> None:
        options: dict[str, Any] = {"resume": self.resume, "init_from": self.init_from, "devices": devices}
        if self.network == "wavenet":
            from avsc_tf.vocoder.sampler import WaveNetSampler

            options["make_sampler"] = WaveNetSampler
        if self.network == "conversion":
            from avsc_tf.vocoder.griffin_lim import preview_vocoder

            options["vocode"] = preview_vocoder(self.config)
        if self.pretrain:
            from avsc_tf.training.wavenet.pretraining import pretrain_wavenet

            pretrain_wavenet(self.config, self.pretrain, self.run, skip_bad=self.skip_bad, **options)
            return
        from avsc_tf.corpus.reader import open_records

        assert self.records is not None
        options["dry_run"] = self.dry_run
        records = open_records(self.records, self.config)
        if consent is not None:
            options["devices"].decide(lambda: keep_consent(self.run, consent))
        _trainer(self.network)(self.config, records, self.run, **options)


def _trainer(network: str) -> Any:
    if network == "conversion":
        from avsc_tf.training.conversion.train import train_conversion

        return train_conversion
    if network == "wavenet":
        from avsc_tf.training.wavenet.train import train_wavenet

        return train_wavenet
    from avsc_tf.training.image.train import train_image

    return train_image
