"""The OpenAPI document is true: schemathesis asks every operation what the document says can be asked. Source: K-5."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from litestar import Litestar
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from domain.api_tokens import TokenScope
from infra.event_schemas import asyncapi, written
from tests.examples import (
    MODEL_ID,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    QUESTION_BANK,
    QUESTION_BANK_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    VERSION_PUBLISHED,
    plant,
)
from tests.web.machines import machine_of
from tests.web.real_site import RealSite, open_real_site

EXAMPLES_AN_OPERATION = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """A plant in which everything is there once, and belongs to the super administrator."""
    with open_real_site(database, tmp_path) as real:
        real.happened(
            plant()
            .add(TRAINING_DATASET_ID, TRAINING_DATASET)
            .add(QUESTION_BANK_ID, QUESTION_BANK)
            .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=QUALITY_LEAD_ID)
            .add(MODEL_ID, VERSION_PUBLISHED, actor=QUALITY_LEAD_ID)
            .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=QUALITY_LEAD_ID)
        )
        yield real


def ask_everything(site: RealSite, part: str = "") -> dict[str, int]:
    """Ask what the document says can be asked, of the operations with `part` in their address; how often each was asked.

    Raises:
        FailureGroup: an answer is not as the document says.
    """
    app: Litestar = site.client.app
    document = schemathesis.openapi.from_dict(site.client.get("/api/v1/openapi.json").json())
    headers = {"Authorization": f"Bearer {machine_of(site, QUALITY_LEAD_ID, TokenScope.MANAGE).secret}"}
    asked: Counter[str] = Counter()
    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if part not in operation.path:
            continue

        @seed(20_261_126)
        @settings(
            max_examples=EXAMPLES_AN_OPERATION,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            asked[case.operation.label] += 1
            case.validate_response(case.call(app=app, headers=headers), checks=CHECKS)

        ask()
    return asked


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # schemathesis 4.32 leaves streams open
def test_every_operation_answers_as_the_document_says(site: RealSite) -> None:  # K-5
    paths = site.client.get("/api/v1/openapi.json").json()["paths"]
    assert len(ask_everything(site)) == sum(len(methods) for methods in paths.values()) > 30


class BrokenTaskTypes:
    def list(self) -> None:
        raise RuntimeError("the disk is gone")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
def test_an_operation_that_fails_would_be_noticed(site: RealSite) -> None:
    site.read.task_types = BrokenTaskTypes()
    with pytest.raises(FailureGroup, match="Server error"):
        ask_everything(site, "/task-types")


def test_the_document_names_every_route_and_nobody_needs_a_token_to_read_it(
    app_and_services: tuple[Litestar, Any], site: RealSite
) -> None:
    app, _ = app_and_services
    routes = {
        f"{method} {re.sub(r':[a-z]+}', '}', route.path)}"
        for route in app.routes
        for method in getattr(route, "methods", ())
        if route.path.startswith("/api/") and method not in ("HEAD", "OPTIONS")
    }
    document = site.client.get("/api/v1/openapi.json").json()
    named = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert routes - named == {"GET /api/v1/openapi.json", "GET /api/v1/asyncapi.json"}
    assert named <= routes
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert {"me", "datasets_list", "training_jobs_terminate"} <= set(names)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert site.client.get("/api/v1/asyncapi.json").json() == json.loads(written(asyncapi()))


def test_the_document_is_told_in_words_for_people_and_its_examples_are_true(site: RealSite) -> None:
    document = site.client.get("/api/v1/openapi.json").json()
    assert not any("." in name or name.endswith("_") for name in document["components"]["schemas"])
    assert {"DatasetList", "TrainingJobList"} <= set(document["components"]["schemas"])
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    for operation in operations:
        name = operation["operationId"]
        assert operation["tags"], name
        assert operation["description"].startswith(operation["summary"] or "?"), name
        assert {"401", "403", "404"} <= set(operation["responses"]), name
        assert "application/problem+json" in operation["responses"]["401"]["content"], name
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or "example" in body, name
    used = json.dumps(document["paths"])
    assert "#/components/schemas/DatasetList" in used
    assert "Listed_" not in used
    assert sum("requestBody" in operation for operation in operations) > 9
