"""Figures for Prometheus, in a registry of this service alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
JOB_SECONDS = (1, 2, 5, 10, 20, 40, 60, 120, 240, 480, 900)


class Metrics:
    """Counters that are written where things happen; gauges are asked for when somebody looks."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        prefix = "avsc_tf"
        self.requests = Counter(f"{prefix}_requests", "HTTP requests", ["route", "method", "status"], registry=registry)
        self.latency = Histogram(
            f"{prefix}_request_seconds",
            "From the first byte of a request to the first of its answer",
            ["route"],
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self.accepted = Counter(f"{prefix}_jobs_accepted", "Jobs accepted", registry=registry)
        self.finished = Counter(f"{prefix}_jobs_finished", "Jobs that ended", ["state"], registry=registry)
        self.refused = Counter(f"{prefix}_uploads_refused", "Uploads refused", ["status"], registry=registry)
        self.uploaded_bytes = Counter(f"{prefix}_uploaded_bytes", "Bytes of accepted uploads", registry=registry)
        self.decoder_failures = Counter(
            f"{prefix}_decoder_failures", "Uploads the decoder refused, or that ended it", ["kind"], registry=registry
        )
        self.converted_seconds = Counter(f"{prefix}_converted_seconds", "Seconds of clips converted", registry=registry)
        self.job_seconds = Histogram(
            f"{prefix}_job_seconds",
            "Conversion of one clip, decoding left out",
            ["vocoder"],
            buckets=JOB_SECONDS,
            registry=registry,
        )

    def watch(self, gauges: Callable[[], Iterator[Metric]]) -> None:
        """Ask `gauges` at each look."""

        class _Asked(Collector):
            def collect(self) -> Iterator[Metric]:
                return gauges()

        self.registry.register(_Asked())

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


def gauge(name: str, help_text: str, values: dict[str, float], label: str = "") -> GaugeMetricFamily:
    """One gauge, of one value or one a label."""
    family = GaugeMetricFamily(f"avsc_tf_{name}", help_text, labels=[label] if label else [])
    for key, value in values.items():
        family.add_metric([key] if label else [], value)
    return family


def resident_bytes(pid: int | str | None) -> float:
    """Memory a process holds; 0 where there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0.0)
