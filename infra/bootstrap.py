"""The only place that constructs: it puts the adapters together for each process."""

from collections.abc import Callable, Iterable

from infra.settings import Settings


def prepare(settings: Settings) -> Iterable[str]:
    """Make tables and the first administrator where they are missing; what a person must be told, once."""
    raise NotImplementedError


def run_projector(settings: Settings, ready: Callable[[], None]) -> None:
    """Follow the log into the read models until SIGTERM."""
    raise NotImplementedError


def run_dispatcher(settings: Settings, ready: Callable[[], None]) -> None:
    """Turn events into messages and reports into commands until SIGTERM."""
    raise NotImplementedError


def run_worker(settings: Settings, ready: Callable[[], None]) -> None:
    """Take jobs until SIGTERM."""
    raise NotImplementedError


def run_web(settings: Settings) -> None:
    """Serve the pages until SIGTERM; `/healthz` answers when they work."""
    raise NotImplementedError


def run_demo(settings: Settings, data_root: str | None) -> int:
    """Put the main job through, on the images of `data_root` or on generated ones; returns the exit status."""
    raise NotImplementedError
