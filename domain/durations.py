"""Durations as people read them, the same on pages, in sentences and on the command line."""

_HOUR, _MINUTE = 3600, 60


def clock(seconds: float) -> str:
    """`00:01:30`, `27:00:00`; parts of a second are left out."""
    whole = int(seconds)
    return f"{whole // _HOUR:02}:{whole % _HOUR // _MINUTE:02}:{whole % _MINUTE:02}"
