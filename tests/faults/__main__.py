# ruff: noqa: T201 - a report is printed
"""``python -m tests.faults --kills 200``: the long run. Prints a table of results; ends with 1 if anything was wrong."""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as the tests have it

from faults import disk, stage
from faults.invariants import violations
from faults.journal import now
from faults.kinds import FAULTS, HANGING, Fault
from faults.rush import Rush, Verdict

KILLS = (
    ("PostgreSQL", "worker"), ("SQLite", "worker"), ("PostgreSQL", "gunicorn"), ("PostgreSQL", "service"),
    ("SQLite", "service"), ("PostgreSQL", "backend"), ("PostgreSQL", "postgres"),
)  # fmt: skip
OTHERS = (
    ("PostgreSQL", "connections"), ("PostgreSQL through a wire", "wire"), ("PostgreSQL", "cancel"),
    ("PostgreSQL", "clients"), ("SQLite", "clients"), ("PostgreSQL", "lock"), ("SQLite", "lock"),
    ("PostgreSQL", "statement"), *((f"SQLite, disk {kind}", "disk") for kind in disk.kinds()),
)  # fmt: skip
SLOW = {"lock", "statement"}  # each takes a time-out of the service


@dataclass
class Result:
    """One line of the table."""

    engine: str
    fault: Fault
    verdicts: list[Verdict] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def line(self) -> tuple[object, ...]:
        return (
            f"{self.fault.zh} · {self.fault.en}",
            self.engine,
            len(self.verdicts),
            sum(verdict.tries for verdict in self.verdicts),
            sum(verdict.acknowledged for verdict in self.verdicts),
            sum(verdict.repeated for verdict in self.verdicts),
            len(self.wrong),
            f"{max(verdict.recovery for verdict in self.verdicts):.2f} s",
            f"{max(verdict.longest for verdict in self.verdicts):.2f} s",
        )


def main() -> None:
    """Run, print, and say by the exit code whether all was well."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    begun = now()
    results: list[Result] = []
    for engine, names in _by_engine(options).items():
        with ExitStack() as stack:
            ready = stack.enter_context(_stage(engine))
            results += _run(engine, ready, names, options.seed)
    table = _table(results)
    kills = sum(len(result.verdicts) for result in results if result.fault.is_kill)
    wrong = [f"{result.engine}, {result.fault.en}: {line}" for result in results for line in result.wrong]
    summary = f"{kills} kills, {sum(len(result.verdicts) for result in results)} faults, {len(wrong)} wrong, {(now() - begun) / 60:.0f} min"
    print(f"\n{table}\n\n{summary}")
    for line in wrong:
        print(f"WRONG {line}")
    if options.write:
        Path(options.write).write_text(f"{table}\n\n{summary}\n", encoding="utf-8")
    sys.exit(1 if wrong else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--kills", type=int, default=200, help="kill -9 in all, spread over the kinds (default 200)"
    )
    parser.add_argument("--others", type=int, default=20, help="times of each other fault (default 20)")
    parser.add_argument("--slow", type=int, default=5, help="times of each time-out (default 5)")
    parser.add_argument("--only", choices=FAULTS, action="append", help="these faults only")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another course (default 1)")
    parser.add_argument("--write", metavar="FILE", help="write the table")
    return parser.parse_args()


def _by_engine(options: argparse.Namespace) -> dict[str, dict[str, int]]:
    planned: dict[str, dict[str, int]] = {}
    for engine, name in (*KILLS, *OTHERS):
        if options.only and name not in options.only:
            continue
        times = options.slow if name in SLOW else options.others
        if FAULTS[name].is_kill:
            times = -(-options.kills // len(KILLS))
        planned.setdefault(engine, {})[name] = times
    return planned


def _stage(engine: str) -> AbstractContextManager[stage.Stage]:
    if engine == "PostgreSQL":
        return stage.on_postgres()
    if engine == "PostgreSQL through a wire":
        return stage.on_postgres(with_relay=True)
    kind = engine.partition("SQLite, disk ")[2]
    return _on_small_disk(kind) if kind else stage.on_sqlite()


class _on_small_disk(ExitStack):  # noqa: N801 - used as a function
    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def __enter__(self) -> stage.Stage:
        super().__enter__()
        return self.enter_context(stage.on_sqlite(self.enter_context(disk.small(self._kind))))


def _run(engine: str, ready: stage.Stage, names: dict[str, int], seed: int) -> Iterator[Result]:
    if "statement" in names:
        ready.administer(HANGING)
    done: list[tuple[Result, Rush, Verdict]] = []
    for name, times in names.items():
        result = Result(engine, FAULTS[name])
        for turn in range(times):
            rush = Rush(ready, seed * 1_000_000 + turn)
            verdict = rush.run(FAULTS[name].inject)
            result.verdicts.append(verdict)
            result.wrong += [f"turn {turn}: {line}" for line in verdict.wrong]
            done.append((result, rush, verdict))
            print(
                f"{engine}, {name} {turn + 1}/{times}: {verdict.tries} requests, {verdict.acknowledged} acknowledged, "
                f"wrong {len(verdict.wrong)}, back after {verdict.recovery:.2f} s, {dict(Counter(verdict.failures))}",
                flush=True,
            )
        yield result
    # What was acknowledged long ago must have outlived every later fault too.
    for result, rush, verdict in done:
        later = violations(ready.held(rush.activity_id), verdict.told)
        result.wrong += [f"at the end: {line}" for line in later if line not in result.wrong]


def _table(results: list[Result]) -> str:
    head = (
        "故障 · fault", "数据库 · database", "次数 · times", "请求 · requests", "已确认 · acknowledged", "重试 · repeated",
        "错误 · wrong", "最长恢复 · worst recovery", "最长等待 · longest wait",
    )  # fmt: skip
    lines = [head, ("---",) * len(head), *(result.line() for result in results)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    main()
