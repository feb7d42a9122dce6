"""`python -m benchmarks [part of a name …]`: measure, print a table, write `benchmarks/results.json`."""

import argparse
import importlib
import os
import platform
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.harness import BENCHES, Bench, Row

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
COLUMNS = "{name:<46} {figure:>12} {unit:<11} {ratio:>6}  {wanted:<12} {verdict:<4} {compared}"


def main() -> None:
    """Run the benches whose function or module names hold one of the words given, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="run only benches with one of these in their name")
    parser.add_argument("--rounds", type=int, default=7, help="how often what is compared takes turns (default: 7)")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size of a plant (default: 1, all of it)")
    asked = parser.parse_args()
    for module in sorted(FOLDER.glob("bench_*.py")):
        try:
            importlib.import_module(f"benchmarks.{module.stem}")
        except ModuleNotFoundError as error:
            print(
                f"{module.stem} is left out, because there is no {error.name}; `make bench` installs what benches need"
            )
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # leaves the stack, so the server ends, too
    rows: list[Row] = []
    print(_line("name", "figure", "unit", "ratio", "wanted", "", "compared with"), flush=True)
    with ExitStack() as stack:
        bench = Bench(asked.rounds, stack, asked.share)
        for function in BENCHES:
            name = f"{function.__module__}.{function.__name__}"
            if not asked.names or any(part in name for part in asked.names):
                for row in function(bench):
                    rows.append(row)
                    print(_shown(row), flush=True)
    RESULTS.write_bytes(msgspec.json.format(_results(rows), indent=2) + b"\n")
    print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")


def _shown(row: Row) -> str:
    compared = "" if row.compared_figure is None else f"{row.compared_with}: {_number(row.compared_figure)}"
    verdict = {True: "met", False: "MISS", None: ""}[row.is_met]
    return _line(
        row.name,
        _number(row.figure),
        row.unit,
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.wanted,
        verdict,
        compared or row.compared_with,
    )


def _line(name: str, figure: str, unit: str, ratio: str, wanted: str, verdict: str, compared: str) -> str:
    return COLUMNS.format(
        name=name, figure=figure, unit=unit, ratio=ratio, wanted=wanted, verdict=verdict, compared=compared
    ).rstrip()


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _results(rows: list[Row]) -> bytes:
    return msgspec.json.encode(
        {
            "measured_at": datetime.now(UTC),
            "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
            "rows": [
                msgspec.structs.asdict(row) | {"wanted": row.wanted or None, "is_met": row.is_met} for row in rows
            ],
        }
    )


if __name__ == "__main__":
    main()
