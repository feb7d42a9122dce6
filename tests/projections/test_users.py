import pytest

from domain.permissions import Role
from domain.prediction_jobs import PredictionKind
from domain.users import Belongings, UserDeleted, UserEmailChanged, UserPasswordChanged, UserRoleChanged
from projections.models import Models
from projections.overview import Overview
from projections.prediction_jobs import PredictionJobs
from projections.training_jobs import TrainingJobs
from projections.users import Account, Users
from tests.examples import (
    MODEL_ID,
    PASSWORD,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    VERSION_PUBLISHED,
    History,
    example_id,
    plant,
)
from tests.projections.read_side import Project

OWNING = (Users, Models, TrainingJobs, PredictionJobs, Overview)


def wangs_things() -> History:
    """trainer_wang has a model, a training job and a prediction job."""
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
    )


def deleted(history: History, heir: object = TRAINER_LI_ID) -> History:
    return history.add(TRAINER_WANG_ID, UserDeleted(heir=heir), actor=QUALITY_LEAD_ID)  # type: ignore[arg-type]


def test_the_newest_user_stands_in_the_first_row(project: Project) -> None:  # U-2
    read = project(plant(), Users)
    page = read.users.page()
    assert [row.username for row in page.items] == ["trainer_li", "trainer_wang", "quality_lead"]
    assert page.total == 3


def test_the_list_comes_in_pages(project: Project) -> None:
    read = project(plant(), Users)
    assert [row.username for row in read.users.page(number=2, size=2).items] == ["quality_lead"]
    assert [row.username for row in read.users.page(number=99, size=2).items] == ["quality_lead"]


def test_a_user_signs_in_whatever_the_case_and_width_of_the_name(project: Project) -> None:  # U-1, U-2
    read = project(plant(), Users)
    for typed in ("trainer_wang", "Trainer_WANG", "ｔrainer_wang"):
        found = read.users.credentials(typed)
        assert (found.user_id, found.password_hash) == (TRAINER_WANG_ID, TRAINER_WANG.password_hash)
    assert read.users.credentials("trainer_wan") is None


def test_a_changed_password_ends_every_session_begun_before(project: Project) -> None:  # U-5
    history = plant()
    read = project(history, Users)
    assert read.users.account(TRAINER_WANG_ID).session_epoch == 0
    history.add(TRAINER_WANG_ID, UserPasswordChanged(password_hash="hash of New2025"), actor=TRAINER_WANG_ID)
    read.take_in(history)
    assert read.users.account(TRAINER_WANG_ID).session_epoch == 1
    assert read.users.credentials("trainer_wang").password_hash == "hash of New2025"
    assert read.users.account(QUALITY_LEAD_ID).session_epoch == 0


def test_an_unknown_user_has_no_account(project: Project) -> None:
    assert project(plant(), Users).users.account(example_id("nobody")) is None


def test_nothing_that_is_shown_holds_a_hash(project: Project) -> None:  # E-6
    read = project(plant(), Users)
    shown = repr((read.users.page(), read.users.account(QUALITY_LEAD_ID)))
    assert "quality@example.com" in shown
    assert QUALITY_LEAD.password_hash not in shown
    assert PASSWORD not in shown


def test_a_rebuild_gives_the_same_users(project: Project) -> None:  # E-2
    history = plant()
    history.add(TRAINER_WANG_ID, UserEmailChanged(email="wang@example.com"), actor=TRAINER_WANG_ID)
    history.add(TRAINER_WANG_ID, UserPasswordChanged(password_hash="hash of New2025"), actor=TRAINER_WANG_ID)
    history.add(TRAINER_WANG_ID, UserPasswordChanged(password_hash="hash of Newer2025"), actor=TRAINER_WANG_ID)
    read = project(history, Users)
    assert len(read.assert_rebuild_equals_live()["users"]) == 3
    assert read.users.account(TRAINER_WANG_ID) == Account(
        TRAINER_WANG_ID, "trainer_wang", TRAINER_WANG.role, "wang@example.com", 2
    )


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["trainer_li", "trainer_wang", "quality_lead"]),
        ("WANG", ["trainer_wang"]),
        ("ｔrainer", ["trainer_li", "trainer_wang"]),
        ("%", []),
    ],
)
def test_users_are_found_by_a_part_of_the_name(project: Project, search: str, found: list[str]) -> None:  # U-4
    assert [row.username for row in project(plant(), Users).users.page(search=search).items] == found


@pytest.mark.parametrize(
    ("sort", "first"),
    [("username", "quality_lead"), ("-username", "trainer_wang"), ("role", "trainer_li"), ("-email", "quality_lead")],
)
def test_the_list_is_sorted(project: Project, sort: str, first: str) -> None:
    assert project(plant(), Users).users.page(sort=sort).items[0].username == first


def test_the_list_is_narrowed_to_a_role(project: Project) -> None:
    history = plant().add(TRAINER_LI_ID, UserRoleChanged(role=Role.SUPER_ADMINISTRATOR), actor=QUALITY_LEAD_ID)
    found = project(history, Users).users.page(role=Role.SUPER_ADMINISTRATOR)
    assert [row.username for row in found.items] == ["trainer_li", "quality_lead"]


def test_another_role_counts_from_the_next_question_on(project: Project) -> None:  # U-4
    history = plant()
    read = project(history, Users)
    history.add(QUALITY_LEAD_ID, UserRoleChanged(role=Role.MODEL_TRAINER), actor=TRAINER_LI_ID)
    read.take_in(history)
    assert read.users.account(QUALITY_LEAD_ID).role is Role.MODEL_TRAINER


def test_a_deleted_user_neither_signs_in_nor_stands_in_the_list(project: Project) -> None:  # U-3
    read = project(deleted(plant()), Users)
    assert read.users.account(TRAINER_WANG_ID) is None
    assert read.users.credentials("trainer_wang") is None
    assert read.users.get(TRAINER_WANG_ID) is None
    assert [row.username for row in read.users.page().items] == ["trainer_li", "quality_lead"]
    assert read.users.names() == ["quality_lead", "trainer_li"]


def test_deleted_users_are_listed_by_themselves_with_their_heirs(project: Project) -> None:  # U-7
    history = deleted(plant())
    (row,) = project(history, Users).users.page(only_deleted=True).items
    assert (row.username, row.heir_name, row.deleted_at) == ("trainer_wang", "trainer_li", history.events[-1].timestamp)


def test_what_a_user_owns_is_counted(project: Project) -> None:  # U-7
    read = project(wangs_things(), *OWNING)
    assert read.users.belongings(TRAINER_WANG_ID) == Belongings(
        model_count=1, training_job_count=1, prediction_job_count=1
    )
    assert read.users.belongings(TRAINER_LI_ID).is_empty


def test_an_heir_owns_what_the_deleted_user_owned(project: Project) -> None:  # U-7
    read = project(deleted(wangs_things()), *OWNING)
    assert read.users.belongings(TRAINER_LI_ID) == Belongings(
        model_count=1, training_job_count=1, prediction_job_count=1
    )
    (model,) = read.models.page(TRAINER_LI_ID).items
    (prediction,) = read.prediction_jobs.page(TRAINER_LI_ID, PredictionKind.QUESTION_BANK).items
    assert (model.model_id, prediction.job_id) == (MODEL_ID, PREDICTION_JOB_ID)
    assert [choice.model_id for choice in read.models.choices(TRAINER_LI_ID).versions] == [MODEL_ID]
    figures = read.overview.key_figures(TRAINER_LI_ID)
    assert (figures.model_count, figures.training_job_count, figures.evaluation_job_count) == (1, 1, 1)
    for nobody in (TRAINER_WANG_ID, QUALITY_LEAD_ID):
        assert read.models.page(nobody).items == ()
        assert read.users.belongings(nobody).is_empty


def test_both_names_stay_with_what_was_inherited(project: Project) -> None:  # U-7
    read = project(deleted(wangs_things()), *OWNING)
    for row in (
        read.training_jobs.page().items[0],
        read.training_jobs.get(TRAINING_JOB_ID),
        read.models.get(MODEL_ID),
        read.prediction_jobs.get(PREDICTION_JOB_ID),
    ):
        assert (row.owner, row.inherited_from) == (TRAINER_LI_ID, "trainer_wang")
    assert read.training_jobs.get(TRAINING_JOB_ID).owner_name == "trainer_li"
    (model,) = read.models.page(TRAINER_LI_ID).items
    assert (model.modified_by, model.is_modifier_deleted) == ("trainer_wang", True)
    version = read.models.get(MODEL_ID).newest
    assert (version.published_by, version.is_publisher_deleted) == ("trainer_wang", True)


def test_what_is_not_inherited_names_its_owner_alone(project: Project) -> None:  # U-7
    read = project(wangs_things(), *OWNING)
    for row in (read.training_jobs.get(TRAINING_JOB_ID), read.models.get(MODEL_ID)):
        assert (row.owner, row.owner_name, row.inherited_from) == (TRAINER_WANG_ID, "trainer_wang", "")
    assert not read.models.page(TRAINER_WANG_ID).items[0].is_modifier_deleted
    assert not read.models.get(MODEL_ID).newest.is_publisher_deleted


def test_jobs_are_found_by_whoever_made_them_and_by_whoever_owns_them(project: Project) -> None:  # T-3, U-7
    read = project(deleted(wangs_things()), *OWNING)
    for who, count in ((TRAINER_WANG_ID, 1), (TRAINER_LI_ID, 1), (QUALITY_LEAD_ID, 0)):
        assert read.training_jobs.page(owner=who).total == count
    assert [(one.owner_name, one.is_deleted) for one in read.training_jobs.creators()] == [
        ("trainer_li", False),
        ("trainer_wang", True),
    ]


def test_an_heir_of_an_heir_owns_everything(project: Project) -> None:  # U-7
    history = deleted(wangs_things()).add(TRAINER_LI_ID, UserDeleted(heir=QUALITY_LEAD_ID), actor=QUALITY_LEAD_ID)
    read = project(history, *OWNING)
    assert read.users.belongings(QUALITY_LEAD_ID).model_count == 1
    assert read.models.get(MODEL_ID).owner_name == "quality_lead"
    assert [row.heir_name for row in read.users.page(only_deleted=True).items] == ["quality_lead"] * 2
    read.assert_rebuild_equals_live()


def test_who_is_there_has_no_heir_and_is_found_by_name(project: Project) -> None:  # U-7
    read = project(deleted(plant()), Users)
    assert {row.heir_name for row in read.users.page().items} == {""}
    assert read.users.get(TRAINER_LI_ID).heir_name == ""
    assert read.users.named("ＴRAINER_li") == TRAINER_LI_ID
    assert read.users.named("trainer_wang") is None
