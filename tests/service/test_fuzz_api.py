"""Schemathesis against the whole service: jobs that go on to be worked on, and tokens that are left out."""

from __future__ import annotations

import collections
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="optional: pip install avsc_tf[dev]")
hypothesis = pytest.importorskip("hypothesis")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi import checks as openapi  # noqa: E402

TOKEN = "a-token-of-the-test"
MEANT = (503, 507)  # refusals that the schema names; any other 5xx is a fault
CONFORM = (
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.unsupported_method,
)
SETTINGS = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(hypothesis.HealthCheck),
    "phases": [hypothesis.Phase.generate],
}


@pytest.fixture(scope="module")
def uploads(load_module: Any, root: Path, clip: Path, tmp_path_factory: Any) -> list[bytes]:
    """What may come as a file: a face, recordings without one, sound alone, damage, and what is none."""
    seeds = load_module(root / "benchmarks" / "fuzz_media.py").make_seeds(tmp_path_factory.mktemp("seeds"))
    face = clip.read_bytes()
    return [face, face[: len(face) // 2], seeds["webm"], seeds["wav"], seeds["mp3"], b"x" * 100, b""]


@pytest.fixture(scope="module")
def served(run_service: Any, make_settings: Any, tiny_bundle: Path, tmp_path_factory: Any) -> Iterator[Any]:
    rate = ("jobs.requests_per_minute=1000000", "jobs.burst_requests=1000000")
    settings = make_settings("jobs.max_queued=1000", "jobs.max_per_client=1000", "upload.max_bytes=1000000", *rate)
    with run_service(settings, tiny_bundle, tmp_path_factory.mktemp("fuzz") / "data") as (client, service):
        for _ in range(1200):
            if client.get("/health/ready").status == 200:
                break
            time.sleep(0.1)
        yield client, service


class Calls:
    """Makes generated calls about real jobs, with real files; counts the answers."""

    def __init__(self, uploads: list[bytes]) -> None:
        self.uploads, self.ids = uploads, ["x" * 24]
        self.answers: collections.Counter[tuple[str, int]] = collections.Counter()

    @staticmethod
    def _is_real(method: str, number: int) -> bool:
        """Most calls are about real jobs; of the removals a quarter, so that there are some."""
        return number % 4 == 0 if method == "DELETE" else number % 10 != 0

    def make(self, case: Any) -> None:
        label, number = case.operation.label, sum(self.answers.values())
        if label == "POST /v1/conversions":
            case.body, case.media_type = self.uploads[number % len(self.uploads)], "application/octet-stream"
        elif "job_id" in case.path_parameters and self._is_real(case.method, number):
            case.path_parameters["job_id"] = self.ids[-1 - number % min(6, len(self.ids))]
        response = case.call(timeout=60)
        self.answers[label, response.status_code] += 1
        if response.status_code in (200, 202) and label == "POST /v1/conversions":
            self.ids.append(response.json()["id"])
        checks = CONFORM if response.status_code in MEANT else (*CONFORM, not_a_server_error)
        if label.endswith("/events"):  # described as one string, as OpenAPI 3.1 has it; schemathesis parses the events
            checks = tuple(check for check in checks if check is not openapi.response_schema_conformance)
        case.validate_response(response, checks=checks)


@pytest.mark.slow
def test_jobs_by_any_sequence_of_calls(served: Any, uploads: list[bytes]) -> None:
    """Uploads, states, results and removals in any order while jobs are worked on; then all is as it must be."""
    client, service = served
    api = schemathesis.openapi.from_url(f"http://127.0.0.1:{client.port}/openapi.json")
    calls = Calls(uploads)
    descriptors = len(os.listdir("/proc/self/fd"))

    @hypothesis.settings(max_examples=200, **SETTINGS)
    @hypothesis.given(case=api.include(path_regex="^/v1/conversions").as_strategy())
    def make(case: Any) -> None:
        calls.make(case)

    make()
    answers = calls.answers
    assert len({label for label, _ in answers}) == 7, answers
    for label, status in (
        ("POST /v1/conversions", 202),
        ("GET /v1/conversions/{job_id}", 200),
        ("GET /v1/conversions/{job_id}/events", 200),
        ("GET /v1/conversions/{job_id}/source", 200),
        ("DELETE /v1/conversions/{job_id}", 204),
    ):
        assert answers[label, status] >= 1, (label, answers)  # how often is chance
    deadline = time.monotonic() + 120
    while (active := [service.store.counts()[s] for s in ("queued", "checking", "converting")]) != [0, 0, 0]:
        assert time.monotonic() < deadline, f"jobs are lost: {active}"
        time.sleep(0.1)
    assert not service.uploading and service.event_streams == 0
    assert {path.name for path in service.storage.uploads.iterdir()} <= service.store.ids()  # nothing half received
    assert not list(service.storage.work.iterdir())
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 10  # connections that the tester keeps
    assert client.get("/health/ready").status == 200


def test_every_operation_asks_for_a_token(
    run_service: Any, make_settings: Any, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the schema says that one is needed, none and a wrong one are refused; elsewhere nobody is."""
    monkeypatch.setenv("AVSC_TF_TOKENS", f"anna sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}")
    with run_service(make_settings(), tiny_bundle, tmp_path / "data", starts=False) as (client, _):
        api = schemathesis.openapi.from_url(f"http://127.0.0.1:{client.port}/openapi.json")
        needed, tried, statuses = 0, 0, set()
        for result in api.get_all_operations():
            operation = result.ok()
            is_open = operation.definition.raw.get("security") == []
            needed += not is_open

            @hypothesis.settings(max_examples=3, **SETTINGS)
            @hypothesis.given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                nonlocal tried
                tried += 1
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    statuses.add(case.call(headers=headers, timeout=30).status_code)

            statuses.clear()
            ask()
            if operation.label != "POST /login":  # says 401 to a wrong token by itself
                assert (statuses == {401}) if not is_open else (401 not in statuses), operation.label
        assert needed >= 8 and tried >= needed


@pytest.mark.slow
def test_a_converter_that_grew_is_started_again(
    run_service: Any, make_settings: Any, tiny_bundle: Path, tmp_path: Path, clip: Path
) -> None:
    """Between two jobs: each is done, by a process of its own where any memory is too much."""
    settings = make_settings("jobs.converter_bytes=1")
    with run_service(settings, tiny_bundle, tmp_path / "data") as (client, service):
        jobs = [client.post_clip(clip.read_bytes()).json()["id"] for _ in range(2)]
        assert [client.wait(job)["state"] for job in jobs] == ["done", "done"]
        assert service.pipeline.converter.restarts >= 1
        assert service.store.get(jobs[1]).deaths == 0
