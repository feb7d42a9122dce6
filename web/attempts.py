"""Guessing passwords is slowed down: at sign-in per account and per address (U-1), of the old password per session (U-5).

Each process counts for itself, in bounded memory.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from threading import Lock
from time import monotonic


class Attempts:
    """Failures of one kind, counted in bounded memory: after `free` of them, each one doubles the wait, up to `longest` seconds.

    Nothing sleeps: an attempt that comes too early is refused before the password is looked at.
    """

    def __init__(
        self, *, free: int, longest: float, capacity: int = 10_000, clock: Callable[[], float] = monotonic
    ) -> None:
        self._free, self._longest, self._capacity, self._clock = free, longest, capacity, clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = Lock()

    def wait_seconds(self, key: str) -> int:
        """How long this account or address still has to wait; 0 when it may try."""
        with self._lock:
            failures, last = self._failures.get(key, (0, 0.0))
            left = self._delay(failures) - (self._clock() - last)
            return max(0, math.ceil(left))

    def failed(self, key: str) -> None:
        """Count a failure; an hour without one forgets all before."""
        with self._lock:
            now = self._clock()
            failures, last = self._failures.pop(key, (0, now))
            self._failures[key] = (failures + 1 if now - last < 3600 else 1, now)
            while len(self._failures) > self._capacity:
                self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures."""
        with self._lock:
            self._failures.pop(key, None)

    def _delay(self, failures: int) -> float:
        over = failures - self._free
        return min(self._longest, 2.0 ** min(over, 30)) if over >= 0 else 0.0


class SignInAttempts:
    """A person mistypes a few times; behind one address there may be a whole shift.

    A browser in which an account has signed in before is counted by itself, for that account: whoever guesses elsewhere slows
    the account down for strangers, and cannot lock the rightful user out by going on for ever.
    """

    def __init__(self) -> None:
        self.by_account = Attempts(free=5, longest=60)
        self.by_address = Attempts(free=30, longest=60)
        self.by_known_browser = Attempts(free=5, longest=60)
        self.by_session = Attempts(free=5, longest=60)
        """Guesses of the old password from a browser that was left open: no other session of that user has to wait for them."""

    def counted(self, account: str, address: str, known_browser: str = "") -> list[tuple[Attempts, str]]:
        """What an attempt is counted by, the narrowest first; `known_browser` is empty where the account never signed in there."""
        if known_browser:
            return [(self.by_known_browser, f"{known_browser} {account}")]
        return [(self.by_account, account), (self.by_address, network_of(address))]


def network_of(address: str) -> str:
    """One household of addresses: an IPv6 customer owns a whole /64."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address[:64]
    return str(IPv6Address(int(ip) >> 64 << 64)) if isinstance(ip, IPv6Address) else str(ip)
