"""Argon2id for passwords, in PHC string format."""

from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MEMORY_KIB = 47_104
"""OWASP's first recommendation for Argon2id: 46 MiB, one pass, one lane."""
AT_THE_SAME_TIME = 4
"""A storm of sign-ins takes at most four times 46 MiB; the others wait in line."""


class Argon2Passwords:
    """Hashes and verifies; both take tens of milliseconds by design."""

    def __init__(self, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=1, memory_cost=memory_kib, parallelism=1)
        self._line = BoundedSemaphore(AT_THE_SAME_TIME)

    def hash(self, password: str) -> str:
        """A salted hash."""
        with self._line:
            return self._hasher.hash(password)

    def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is the one that was hashed; False too for a hash that is none."""
        try:
            with self._line:
                return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
