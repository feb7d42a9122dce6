from domain.users import UserEmailChanged, UserPasswordChanged
from projections.users import Account, Users
from tests.examples import PASSWORD, QUALITY_LEAD, QUALITY_LEAD_ID, TRAINER_WANG, TRAINER_WANG_ID, example_id, plant
from tests.projections.read_side import Project


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
