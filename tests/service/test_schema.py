"""Requests made from the service's own OpenAPI, good ones and bad ones: every answer is one that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
hypothesis = pytest.importorskip("hypothesis")

from schemathesis.specs.openapi import checks as openapi_checks  # noqa: E402

EXAMPLES = 12  # an operation and kind of data; benchmarks and nights may take more


@pytest.fixture(scope="module")
def address(run_service: Any, make_settings: Any, tiny_bundle: Path, tmp_path_factory: Any) -> Iterator[str]:
    """A server that takes jobs and does not work on them."""
    settings = make_settings("jobs.max_queued=100000", "jobs.max_per_client=100000", "upload.max_bytes=1000000")
    data = tmp_path_factory.mktemp("schema") / "data"
    with run_service(settings, tiny_bundle, data, starts=False) as (client, _):
        yield f"http://127.0.0.1:{client.port}"


@pytest.fixture(scope="module")
def api(address: str) -> Any:
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


CHECKS = (
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
    openapi_checks.unsupported_method,
)


@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_every_operation(api: Any, good: bool) -> None:
    """Generated requests, over a socket; data against the schema is refused, and nothing ever is a server's error."""
    mode = schemathesis.GenerationMode.POSITIVE if good else schemathesis.GenerationMode.NEGATIVE
    n_asked = 0
    for result in api.get_all_operations():
        operation = result.ok()
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        try:
            strategy = operation.as_strategy(generation_mode=mode)
        except Exception as error:  # nothing in the operation can be wrong
            assert not good, error
            continue

        @settings
        @hypothesis.given(case=strategy)
        def ask(case: Any) -> None:
            nonlocal n_asked
            n_asked += 1
            response = case.call(timeout=20)
            told = response.status_code in (503, 507)  # meant so, and named in the schema
            case.validate_response(response, checks=CHECKS[1:] if told else CHECKS)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            assert not good, operation.label
    assert n_asked > 5 * EXAMPLES
