"""Every request that the application answers, asked by everyone, against the permission table. Source: REQUIREMENTS, U, U-6."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from domain.api_tokens import AREAS_OF_MES, ApiTokenCreated, TokenScope
from domain.facts import Recorded
from domain.users import UserRefusedAction
from tests.examples import (
    CLASSIFICATION_ID,
    FACTORY_2,
    INDUSTRY_ID,
    MODEL_ID,
    MODEL_IMAGE_ID,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    example_id,
    plant,
)
from tests.permission_table import REQUESTS, Who
from tests.web.real_site import RealSite, open_real_site
from web.bearer import hash_of
from web.services import Services
from web.sessions import SAFE_METHODS, Session, Signer

PARTS = {
    "user_id": TRAINER_WANG_ID,
    "industry_id": INDUSTRY_ID,
    "node_id": FACTORY_2.node_id,
    "model_image_id": MODEL_IMAGE_ID,
    "model_id": MODEL_ID,
    "job_id": PREDICTION_JOB_ID,
    "aggregate_id": TRAINING_JOB_ID,
    "label": "v1.01",
    "number": 1,
    "loading": 1,
    "line": 0,
    "name": "app.css",
}
"""What stands in an address; of everything with an owner, it is trainer_wang's. Ids that are not here belong to nothing."""
MAY: dict[Who, set[UUID]] = {
    Who.ANYBODY: {QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID},
    Who.EVERYONE: {QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID},
    Who.OWNER: {TRAINER_WANG_ID},
    Who.OWNER_OR_AUDITOR: {QUALITY_LEAD_ID, TRAINER_WANG_ID},
    Who.SUPER_ADMINISTRATOR: {QUALITY_LEAD_ID},
}


def address_of(pattern: str) -> str:
    def part(found: re.Match[str]) -> str:
        if found[1] == "job_id" and "/training-jobs/" in pattern:
            return str(TRAINING_JOB_ID)
        return str(PARTS.get(found[1], example_id("something that does not exist")))

    return re.sub(r"\{(\w+)\}", part, pattern)


class Visitor:
    """Somebody's browser, or a stranger's; each request comes with a session of its own, because some requests end theirs."""

    def __init__(self, site: RealSite, user_id: UUID | None) -> None:
        self._site, self._user_id = site, user_id
        self._signer = Signer(site.services.settings.secret)

    def ask(self, line: str) -> httpx.Response:
        """Send the request with a valid form token, so that nothing but the permissions can refuse it."""
        method, pattern = line.split(" ")
        self._site.client.cookies.clear()
        if pattern.startswith("/api/"):
            return self._ask_as_machine(method, pattern)
        if self._user_id is None:
            mark = "a stranger"
            self._site.client.cookies.set("assay_visitor", self._signer.sign("visitor", mark))
        else:
            mark = self._site.services.sessions.open(Session(user_id=self._user_id, epoch=0))
            self._site.client.cookies.set("assay_session", self._signer.sign("session", mark))
        token = self._signer.mark("form", mark)
        return self._site.client.request(
            method,
            address_of(pattern),
            headers={"Accept": "text/html", "X-CSRF-Token": token},
            data={"csrf_token": token} if method not in SAFE_METHODS else None,
            files={"file": b""} if pattern.endswith("/file") else None,  # such a form brings its token itself
        )

    def _ask_as_machine(self, method: str, pattern: str) -> httpx.Response:
        """With the token of this user, and a whole body."""
        headers = {"Authorization": f"Bearer {secret_of(self._user_id)}"} if self._user_id else {}
        return self._site.client.request(
            method,
            address_of(pattern),
            headers={**headers, "Idempotency-Key": f"{method} {pattern}".replace(" ", "_")},
            json=BODIES.get(f"{method} {pattern}"),
        )


def secret_of(user_id: UUID | None) -> str:
    """The token of a user; it is as long as a real one."""
    return f"assay_{str(user_id).replace('-', ''):0<43}"


PATHS: dict[str, object] = {"data_paths": ["/data/panel-a/train"]}
CHOICES: dict[str, object] = {
    "data_paths": [{"root": "data", "path": "panel-a/train"}],
    "compute_resource_id": str(TWO_CORES_ID),
}
GPU: dict[str, object] = {
    "kind": "gpu",
    "resources": {"cpu_cores": 8, "memory_gib": 32, "gpu_cards": 1, "gpu_memory_gib": 24},
}
NODES = "/api/v1/industries/{industry_id}/environment-nodes"
BODIES: dict[str, dict[str, object]] = {
    "POST /api/v1/datasets": {"name": "panel-b", "purpose": "training", "environment": [], **PATHS},
    "POST /api/v1/datasets/{dataset_id}/data-paths": PATHS,
    "POST /api/v1/model-images": {"kind": "general", "task_type_id": str(CLASSIFICATION_ID), "archive": "/nowhere"},
    "POST /api/v1/model-images/{model_image_id}/versions": {"archive": "/nowhere"},
    "POST /api/v1/uploads": {"file_name": "unet@1.0", "size": 10},
    "POST /api/v1/training-jobs": {
        "model_name": "panel-b",
        "model_image_id": str(MODEL_IMAGE_ID),
        "model_image_version": 1,
        **CHOICES,
    },
    "POST /api/v1/models/{model_id}/versions/{label}/retrain": CHOICES,
    "POST /api/v1/datasets/{dataset_id}/data-paths/remove": {"path_ids": []},
    "POST /api/v1/models/{model_id}/versions/{label}/withdraw": {"reason": "It misses scratches."},
    "POST /api/v1/users": {"username": "trainer_zhao", "password": "Passw0rd", "role": "model_trainer"},
    "PUT /api/v1/users/{user_id}/email": {"email": "wang@fab.example"},
    "PUT /api/v1/users/{user_id}/role": {"role": "model_trainer"},
    "PUT /api/v1/users/{user_id}/password": {"new_password": "weak"},  # so that everybody stays signed in
    "PUT /api/v1/account/email": {"email": "me@fab.example"},
    "PUT /api/v1/account/password": {"old_password": "a guess", "new_password": "Passw0rd"},
    "POST /api/v1/industries": {"name": "半导体"},
    "PUT /api/v1/industries/{industry_id}/levels": {"level_names": ["工厂", "厂别", "站点", "产品"]},
    f"POST {NODES}": {"names": ["三厂区"]},
    f"POST {NODES}/add-to-several": {"parent_ids": [str(FACTORY_2.node_id)], "names": ["P85"]},
    f"POST {NODES}/remove": {"node_ids": [str(FACTORY_2.node_id)]},
    "POST /api/v1/task-types": {"name": "缺陷分类", "kind": "classification"},
    "PUT /api/v1/task-types/{task_type_id}/name": {"name": "缺陷分类"},
    "POST /api/v1/compute-resources": GPU,
    "PUT /api/v1/compute-resources/{compute_resource_id}": GPU,
    "POST /api/v1/locked-paths/{model_id}/release": {"folder": {"root": "data", "path": "panel-a/train"}},
    **{
        f"POST /api/v1/{kind}": {
            "name": "evening",
            "model_id": str(TWO_CORES_ID),
            "versions": ["v1.01"],
            **CHOICES,
        }
        for kind in ("prediction-jobs", "comparisons")
    },
}


@pytest.fixture
def real(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """A plant with its people; trainer_wang has a model, a training job and a prediction job."""
    history = (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
    )
    for user_id in (QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID):
        token = ApiTokenCreated(
            name="MES", user_id=user_id, scope=TokenScope.MANAGE, secret_hash=hash_of(secret_of(user_id))
        )
        history = history.add(example_id(f"token of {user_id}"), token, actor=QUALITY_LEAD_ID)
    with open_real_site(database, tmp_path) as site:
        site.happened(history)
        object.__setattr__(site.services, "stopping", lambda: True)  # streams end after their first word
        yield site


def test_every_request_has_its_line_in_the_permission_table(app_and_services: tuple[Litestar, Services]) -> None:  # U-6
    app, _ = app_and_services
    answered = {
        f"{method} {re.sub(r':[a-z]+}', '}', route.path)}"
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method not in ("HEAD", "OPTIONS")
    }
    assert answered == set(REQUESTS)
    assert len(answered) > 100


def test_the_areas_of_an_mes_are_these_requests_and_no_others(
    app_and_services: tuple[Litestar, Services],
) -> None:  # K-5
    app, _ = app_and_services
    opened = {
        f"{method} {re.sub(r':[a-z]+}', '}', route.path)}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.opt.get("area") in AREAS_OF_MES
        for method in handler.http_methods - {"HEAD", "OPTIONS"}
    }
    version = "/api/v1/models/{model_id}/versions/{label}"
    assert opened == {
        "GET /api/v1/me",
        "GET /api/v1/events",
        "GET /api/v1/models",
        "GET /api/v1/models/{model_id}",
        f"GET {version}",
        f"GET {version}/export",
        f"POST {version}/export",
        f"GET {version}/export/package",
    }


def is_kept_out(line: str, answer: httpx.Response) -> bool:
    """A browser is sent to the sign-in page, a machine is told that it has no token."""
    if "/api/" in line:
        return answer.status_code in (401, 429)
    return answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in")


def test_a_stranger_is_kept_out_and_does_nothing(real: RealSite) -> None:  # U-1, U-6
    before = real.log.position()
    stranger = Visitor(real, None)
    for line, who in REQUESTS.items():
        answer = stranger.ask(line)
        assert is_kept_out(line, answer) is (who is not Who.ANYBODY), f"{line}: {answer.status_code}"
        assert is_kept_out(line, answer) or answer.status_code not in (401, 403, 500), f"{line}: {answer.status_code}"
    assert real.log.position() == before


@pytest.mark.parametrize(
    "user_id",
    [
        pytest.param(QUALITY_LEAD_ID, id="super administrator"),
        pytest.param(TRAINER_LI_ID, id="model trainer"),
        pytest.param(TRAINER_WANG_ID, id="the model trainer who owns it"),
    ],
)
def test_the_permission_table_is_decided_for_every_request(real: RealSite, user_id: UUID) -> None:  # U-6
    visitor = Visitor(real, user_id)
    for line, who in REQUESTS.items():
        before = real.log.position()
        answer = visitor.ask(line)
        if user_id in MAY[who]:
            assert answer.status_code < 500, f"{line}: {answer.status_code}"
            assert answer.status_code not in (401, 403, 405), f"{line}: {answer.status_code}"
            assert line == "POST /sign-out" or not answer.headers.get("Location", "").startswith("/sign-in"), line
            continue
        assert answer.status_code == 403, f"{line}: {answer.status_code}"
        stored = [recorded for _, recorded in real.log.read(before, 10)]
        if who is Who.SUPER_ADMINISTRATOR and not line.startswith("GET "):
            (record,) = stored
            assert_is_audit_record(record, user_id, line, answer)
        else:
            assert stored == [], line


def assert_is_audit_record(record: Recorded, user_id: UUID, line: str, answer: httpx.Response) -> None:
    """Who asked for what, through which request."""
    method, pattern = line.split(" ")
    assert record.data == UserRefusedAction(command=f"{method} {address_of(pattern)}")
    assert (record.originator_id, record.origin.actor) == (user_id, user_id)
    assert record.origin.request == answer.headers["X-Request-ID"]


def test_what_is_refused_by_role_does_not_tell_whether_it_exists(real: RealSite) -> None:  # U-6
    trainer = Visitor(real, TRAINER_LI_ID)
    for line, who in REQUESTS.items():
        if who is Who.SUPER_ADMINISTRATOR:
            assert trainer.ask(re.sub(r"\{\w+\}", str(example_id("nothing")), line)).status_code == 403, line
