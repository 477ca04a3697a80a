"""Settings of the service, from strict YAML (configs/serve.yaml holds every one with its reason)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from avsc_tf.core.config.reading import apply_override, build, find_settings, read_tree
from avsc_tf.core.errors import ConfigError

if TYPE_CHECKING:
    from avsc_tf.provenance.marking import Provenance

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class AccessSettings:
    """Who may use the service."""

    tokens_file: str = ""
    tokens_variable: str = "AVSC_TF_TOKENS"
    allow_without_tokens: bool = False
    hosts: tuple[str, ...] = ()
    session_hours: float = 12.0
    secure_cookie: bool = False


@dataclass(frozen=True)
class ConnectionSettings:
    """How long a client may take."""

    max_connections: int = 256
    header_seconds: float = 15.0
    keep_alive_seconds: float = 10.0
    stall_seconds: float = 60.0
    shutdown_seconds: float = 10.0


@dataclass(frozen=True)
class UploadSettings:
    """What may be sent."""

    max_bytes: int = 200_000_000
    max_seconds: float = 600.0
    idle_seconds: float = 30.0
    max_concurrent: int = 16
    max_other_bytes: int = 32_000_000


@dataclass(frozen=True)
class ClipSettings:
    """What an upload may hold; checked on what is declared and again on what is decoded."""

    max_seconds: float = 60.0
    max_width_px: int = 1920
    max_height_px: int = 1920
    max_pixels: int = 1920 * 1080
    max_fps: float = 240.0
    max_streams: int = 8
    max_sample_rate_hz: int = 192_000
    max_channels: int = 8


@dataclass(frozen=True)
class DecoderSettings:
    """Limits of the process that decodes one upload."""

    memory_bytes: int = 2_000_000_000
    cpu_seconds: int = 120
    wall_seconds: float = 180.0
    output_bytes: int = 4_000_000_000
    open_files: int = 64


@dataclass(frozen=True)
class JobSettings:
    """Jobs, queue and storage."""

    max_queued: int = 64
    max_per_client: int = 16
    requests_per_minute: float = 600.0
    burst_requests: int = 120
    max_event_streams: int = 64
    max_seconds: float = 900.0
    max_worker_deaths: int = 2
    max_starts: int = 6
    converter_bytes: int = 6_000_000_000
    retention_hours: float = 24.0
    disk_bytes: int = 20_000_000_000
    min_free_bytes: int = 2_000_000_000


@dataclass(frozen=True)
class ConversionSettings:
    """What a request that says nothing gets."""

    vocoder: Literal["wavenet", "griffin-lim"] = "wavenet"
    offered: tuple[str, ...] = ("wavenet", "griffin-lim")
    seed: int = 0


@dataclass(frozen=True)
class ProvenanceSettings:
    """Marks and credentials of what is made; see `provenance.marking.Provenance`."""

    enabled: bool = True
    certificate: str = ""
    private_key: str = ""
    timestamp_url: str = ""

    def provenance(self) -> Provenance | None:
        """What converted videos are marked and signed with; its watermark key is in the environment."""
        from avsc_tf.provenance.marking import Provenance, watermark_key

        if not self.enabled:
            return None
        certificate, private_key = (Path(p).absolute() if p else None for p in (self.certificate, self.private_key))
        return Provenance(certificate, private_key, self.timestamp_url or None, watermark_key())


@dataclass(frozen=True)
class ModelSettings:
    """Limits on calls of exported models."""

    queue: int = 32
    elements: int = 8 << 20
    call_seconds: float = 60.0
    load_seconds: float = 300.0
    memory_bytes: int = 8 << 30


@dataclass(frozen=True)
class ServiceSettings:
    """All of them."""

    access: AccessSettings = AccessSettings()
    connections: ConnectionSettings = ConnectionSettings()
    upload: UploadSettings = UploadSettings()
    clip: ClipSettings = ClipSettings()
    decoder: DecoderSettings = DecoderSettings()
    jobs: JobSettings = JobSettings()
    conversion: ConversionSettings = ConversionSettings()
    provenance: ProvenanceSettings = ProvenanceSettings()
    models: ModelSettings = ModelSettings()

    def __post_init__(self) -> None:
        for section in dataclasses.fields(self):
            for name, value in dataclasses.asdict(getattr(self, section.name)).items():
                if isinstance(value, int | float) and not isinstance(value, bool) and name != "seed" and value <= 0:
                    raise ConfigError(f"{section.name}.{name} is {value}; it must be above 0.")
        offered = self.conversion.offered
        if not set(offered) <= {"wavenet", "griffin-lim"} or self.conversion.vocoder not in offered:
            raise ConfigError(
                f"conversion.offered is {list(offered)}: name wavenet, griffin-lim or both, conversion.vocoder "
                f"({self.conversion.vocoder}) among them."
            )
        if not 0 <= self.conversion.seed < 2**31:
            raise ConfigError("conversion.seed must lie between 0 and 2147483647.")


def load_settings(path: str | Path | None = None, overrides: Sequence[str] = ()) -> ServiceSettings:
    """Read a settings file and lay `section.key=value` over it; None takes the defaults.

    Raises:
        ConfigError: no such file, an unknown key, a wrong type, or values that contradict each other.
    """
    tree = {} if path is None else read_tree(find_settings(path))
    for text in overrides:
        apply_override(tree, text)
    settings: ServiceSettings = build(ServiceSettings, tree, place=str(path or "--set"), complete=False)
    return settings
