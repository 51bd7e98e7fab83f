# ruff: noqa: T201 - a report is printed
"""``python -m tests.benchmarks``: the service beside a bare WSGI application and beside the floor, in one run.

Rounds are interleaved and in changing order; the table shows medians, and of each round's ratio to the floor the
median with the lowest and the highest. Read the ratios: rates belong to the machine, and to what else runs on it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from tests import postgres
from tests.benchmarks.bench import Bench


def main() -> None:
    """Measure, print, and say by the exit code whether the targets are met."""
    options = _options()
    report: dict[str, Any] = {"machine": _machine(), "options": vars(options), "engines": {}}
    for engine in ("postgresql", "sqlite") if options.engine == "both" else (options.engine,):
        with (
            tempfile.TemporaryDirectory(prefix="engage-bench-") as folder,
            _database_urls(engine, Path(folder)) as urls,
        ):
            report["engines"][engine] = found = Bench(urls, Path(folder), options).run()
        _print(engine, found)
    if options.json:
        Path(options.json).write_text(
            json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    missed = [f"{engine}: {line}" for engine, found in report["engines"].items() for line in found["missed"]]
    print("\n" + ("\n".join(["missed:", *missed]) if missed else "All targets met."))
    sys.exit(1 if missed else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--engine", choices=("both", "postgresql", "sqlite"), default="both")
    add("--case", default="", help="only cases whose name contains this")
    add("--rounds", type=int, default=5, help="measurements of each case and application (default 5)")
    add("--seconds", type=float, default=3.0, help="length of each measurement that repeats (default 3)")
    add("--connections", type=int, default=16, help="keep-alive connections of the client (default 16)")
    add("--pin", choices=("auto", "0", "1"), default="auto", help="ENGAGE_PIN_WORKERS of all servers")
    add(
        "--history",
        action="store_true",
        help="run the service also on a database with 10,000 past activities and 1,000,000 sign-ups to them",
    )
    add("--json", metavar="FILE", help="write everything measured")
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    names = ("flask", "sqlalchemy", "gunicorn", "psycopg", "orjson", "marshmallow")
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in names},
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def _database_urls(engine: str, folder: Path) -> Iterator[list[str]]:
    """Yield the addresses of two empty databases, the second for the one with a past."""
    if engine == "sqlite":
        yield [f"sqlite:///{folder / name}.db" for name in ("engage", "past")]
        return
    with postgres.server(durable=True) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE past")
        beside = (
            url.replace("/postgres?", "/past?") if "/postgres?" in url else url.rpartition("/")[0] + "/past"
        )
        yield [each.replace("postgresql://", "postgresql+psycopg://") for each in (url, beside)]


def _print(engine: str, found: dict[str, Any]) -> None:
    print(f"\n{engine}: cold start {found['cold_start_s']} s; workers {found['memory_mb']} MB\n")
    heads = f"| {'case':<22} | {'application':<14} | {'req/s':>6} | {'p50 ms':>6} | {'p99 ms':>6} | {'CPU µs':>6} |"
    print(f"{heads} {'of the floor (asked)':<24} |")
    print("|" + "|".join("-" * width for width in (24, 16, 8, 8, 8, 8, 26)) + "|")
    for case, measured in found["cases"].items():
        for name, each in measured["applications"].items():
            cpu = "" if each["cpu_us"] is None else f"{each['cpu_us']:.0f}"
            print(
                f"| {case:<22} | {name:<14} | {each['rates']:>6.0f} | {each['p50_ms']:>6.1f} | {each['p99_ms']:>6.1f}"
                f" | {cpu:>6} | {_compared(name, measured):<24} |"
            )


def _compared(name: str, measured: dict[str, Any]) -> str:
    if name == "engage":
        asked = "" if measured["target"] is None else f" ({measured['target']:.2f})"
        return _range(measured["of_floor"]) + asked
    if name == "engage+history":
        return f"of engage {_range(measured['with_history'])}"
    return ""


def _range(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} {ratio['low']:.2f}-{ratio['high']:.2f}"


if __name__ == "__main__":
    main()
