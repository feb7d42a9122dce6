"""Secrets that an installation makes for itself and keeps in its state folder."""

import secrets
from typing import Final

from infra.private_files import kept
from infra.settings import Settings

STILL_TO_BE_TOLD: Final = "first-password"
"""The file of the first administrator's password, while nobody was told."""


def session_secret(settings: Settings) -> bytes:
    """The 32 bytes that sign sessions; made at the first call, kept in the state folder where only the owner reads
    it.
    """
    return kept(settings.state / "session-secret", secrets.token_bytes(32))


def seal_key(settings: Settings) -> bytes:
    """The 32 bytes of the Ed25519 key that seals the log; made and kept as the session secret."""
    return kept(settings.state / "seal-key", secrets.token_bytes(32))


def first_password(settings: Settings) -> str:
    """The first administrator's password, made up at the first call and kept where only the owner reads it until it is told."""
    return kept(settings.state / STILL_TO_BE_TOLD, f"{secrets.token_urlsafe(9)}Aa1".encode()).decode()


def untold_password(settings: Settings) -> str | None:
    """The first administrator's password, where one was made up and nobody was told."""
    try:
        return (settings.state / STILL_TO_BE_TOLD).read_text()
    except FileNotFoundError:
        return None


def forget_first_password(settings: Settings) -> None:
    """A person was told; from now on only its hash is kept."""
    (settings.state / STILL_TO_BE_TOLD).unlink(missing_ok=True)
