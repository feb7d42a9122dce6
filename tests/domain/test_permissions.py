"""The permission table, written out a second time as the manual has it."""

import pytest

from domain.permissions import Permission, Role, check_owner, check_owner_or_auditor, permits
from domain.refusals import NotTheOwner
from tests.examples import QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID

SUPER, TRAINER = Role.SUPER_ADMINISTRATOR, Role.MODEL_TRAINER
TABLE = {
    Permission.MANAGE_USERS: {SUPER},
    Permission.MANAGE_OWN_ACCOUNT: {SUPER, TRAINER},
    Permission.MANAGE_MASTER_DATA: {SUPER},
    Permission.MANAGE_DATASETS: {SUPER, TRAINER},
    Permission.MANAGE_MODEL_IMAGES: {SUPER, TRAINER},
    Permission.MANAGE_OWN_MODELS: {SUPER, TRAINER},
    Permission.MANAGE_OWN_TRAINING_JOBS: {SUPER, TRAINER},
    Permission.MANAGE_OWN_PREDICTION_JOBS: {SUPER, TRAINER},
    Permission.SUPERVISE: {SUPER},
    Permission.SYSTEM: set(),
}


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_what_the_manual_says(role: Role, permission: Permission) -> None:  # U
    assert permits(role, permission) is (role in TABLE[permission])


def test_no_person_may_send_what_workers_report() -> None:  # U-6
    assert not any(permits(role, Permission.SYSTEM) for role in Role)


def test_what_is_its_owners_is_nobody_elses_unless_those_of_everybody_are_asked_for() -> None:  # U-6, K-5
    check_owner(TRAINER_WANG_ID, TRAINER_WANG_ID)
    check_owner(TRAINER_WANG_ID, None)
    for stranger in (TRAINER_LI_ID, QUALITY_LEAD_ID):
        with pytest.raises(NotTheOwner):
            check_owner(TRAINER_WANG_ID, stranger)


def test_what_its_owner_may_see_is_open_to_super_administrators_who_audit() -> None:  # U-6, E-3
    check_owner_or_auditor(TRAINER_WANG_ID, TRAINER_WANG_ID, TRAINER)
    check_owner_or_auditor(TRAINER_WANG_ID, QUALITY_LEAD_ID, SUPER)
    with pytest.raises(NotTheOwner):
        check_owner_or_auditor(TRAINER_WANG_ID, TRAINER_LI_ID, TRAINER)
