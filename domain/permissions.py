"""Who may do what. Source: REQUIREMENTS, section U; manual, “用户管理”.

The table is decided in the command side, for every way in.
"""

import enum
from uuid import UUID

from domain.refusals import NotTheOwner


class Role(enum.Enum):
    """The two roles of the manual."""

    SUPER_ADMINISTRATOR = "super_administrator"
    MODEL_TRAINER = "model_trainer"


class Permission(enum.Enum):
    """What a command needs. “Own” permissions also ask that the actor owns what is acted on."""

    MANAGE_USERS = "manage_users"
    MANAGE_OWN_ACCOUNT = "manage_own_account"
    MANAGE_MASTER_DATA = "manage_master_data"
    MANAGE_DATASETS = "manage_datasets"
    MANAGE_MODEL_IMAGES = "manage_model_images"
    MANAGE_OWN_MODELS = "manage_own_models"
    MANAGE_OWN_TRAINING_JOBS = "manage_own_training_jobs"
    MANAGE_OWN_PREDICTION_JOBS = "manage_own_prediction_jobs"
    SUPERVISE = "supervise"
    SYSTEM = "system"
    """Workers' reports and housekeeping: no person, whatever the role."""


EVERYONE = frozenset(Role)
SUPER_ADMINISTRATORS = frozenset({Role.SUPER_ADMINISTRATOR})

ROLES: dict[Permission, frozenset[Role]] = {
    Permission.MANAGE_USERS: SUPER_ADMINISTRATORS,
    Permission.MANAGE_OWN_ACCOUNT: EVERYONE,
    Permission.MANAGE_MASTER_DATA: SUPER_ADMINISTRATORS,
    Permission.MANAGE_DATASETS: EVERYONE,
    Permission.MANAGE_MODEL_IMAGES: EVERYONE,
    Permission.MANAGE_OWN_MODELS: EVERYONE,
    Permission.MANAGE_OWN_TRAINING_JOBS: EVERYONE,
    Permission.MANAGE_OWN_PREDICTION_JOBS: EVERYONE,
    Permission.SUPERVISE: SUPER_ADMINISTRATORS,
    Permission.SYSTEM: frozenset(),
}


def permits(role: Role, permission: Permission) -> bool:
    """Whether the table gives `permission` to `role`."""
    return role in ROLES[permission]


def owns(owner: UUID, asked_for: UUID | None) -> bool:
    """Whether what belongs to `owner` is among the things of `asked_for`, or of everybody (None)."""
    return asked_for is None or owner == asked_for


def check_owner(owner: UUID, asked_for: UUID | None) -> None:
    """Whether what only its owner may see or act on is open to who asks for the things of `asked_for`, or of everybody (None).

    Raises:
        NotTheOwner
    """
    if not owns(owner, asked_for):
        raise NotTheOwner


def check_owner_or_auditor(owner: UUID, reader: UUID, role: Role) -> None:
    """Whether what only its owner may see is open to a reader of some role: super administrators audit, so it is open to them.

    Raises:
        NotTheOwner
    """
    if not permits(role, Permission.SUPERVISE):
        check_owner(owner, reader)
