# ruff: noqa: T201 - a report is printed
"""``python -m tests.benchmarks``: the service beside a bare WSGI application and beside the floor, in one run.

Rounds are interleaved and in changing order; the table shows medians, and of each round's ratio to the floor the
median with the lowest and the highest. Read the ratios: rates belong to the machine, and to what else runs on it.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

import engage.tables  # noqa: F401 - every table
from engage.activities.models import Activity, SignUp, SignUpState
from engage.app import create_app
from engage.core import clock, schema
from engage.core.config import Settings
from engage.core.db import Database
from tests import postgres
from tests.benchmarks import data, servers, sql
from tests.benchmarks.load import Outcome, Plan

APPLICATIONS = ("bare", "floor", "engage")
LIST = "/v1/activities?limit=20"
# What is asked of the service, as a part of the floor's rate.
TARGETS = {"list of 20": 0.35, "detail": 0.40, "sign-up": 0.40, "rush on 200 places": 0.40}
MEMORY_MB, COLD_START_S = 100, 1.5


@dataclass
class Measured:
    """What one application did in the rounds of one case."""

    rates: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, print, and say by the exit code whether the targets are met."""
    options = _options()
    report: dict[str, Any] = {"machine": _machine(), "options": vars(options), "engines": {}}
    for engine in ("postgresql", "sqlite") if options.engine == "both" else (options.engine,):
        with (
            tempfile.TemporaryDirectory(prefix="engage-bench-") as folder,
            _database_url(engine, Path(folder)) as url,
        ):
            report["engines"][engine] = found = Bench(url, Path(folder), options).run()
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
    parser.add_argument("--engine", choices=("both", "postgresql", "sqlite"), default="both")
    parser.add_argument(
        "--rounds", type=int, default=5, help="measurements of each case and application (default 5)"
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="length of each reading measurement (default 3)"
    )
    parser.add_argument(
        "--connections", type=int, default=16, help="keep-alive connections of the client (default 16)"
    )
    parser.add_argument(
        "--pin", action="store_true", help="bind each worker to a processor (ENGAGE_PIN_WORKERS)"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything measured")
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
def _database_url(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'engage.db'}"
    else:
        with postgres.server(durable=True) as url:
            yield url.replace("postgresql://", "postgresql+psycopg://")


class Bench:
    """All measurements on one engine."""

    def __init__(self, url: str, folder: Path, options: argparse.Namespace) -> None:
        self._folder, self._options = folder, options
        self._settings = Settings(database_url=url, log_level="WARNING")
        self._database = Database(self._settings)
        self._app = create_app(self._settings)
        self._choose = random.Random(1)
        with self._database.writer.connect() as connection:
            schema.upgrade(connection)
            connection.commit()
        self._city = data.fill(self._database, self._app, clock.now())

    def run(self) -> dict[str, Any]:
        """Return everything measured."""
        plan = self._write_plan()
        cold = [servers.cold_start(self._environment(plan), self._folder / "cold.log") for _ in range(5)]
        with ExitStack() as stack:
            running = {}
            for name in APPLICATIONS:
                port = servers.free_port()
                log = self._folder / f"{name}.log"
                running[name] = stack.enter_context(
                    servers.running(servers.application(name, port), port, self._environment(plan), log)
                )
            self._compare_answers(running)
            cases = {
                "list of 20": self._measure(running, self._list_requests),
                "detail": self._measure(running, self._detail_requests),
                "sign-up": self._measure(running, self._open_requests, once=True),
                "rush on 200 places": self._measure(
                    running, self._rush_requests, once=True, verify=self._verify_rush
                ),
            }
            memory = running["engage"].memory_mb()
        return self._summary(cases, cold, memory)

    def _environment(self, plan: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ENGAGE_")}
        return {
            **kept,
            "ENGAGE_DATABASE_URL": self._settings.database_url.replace("+psycopg", ""),
            "ENGAGE_PIN_WORKERS": "1" if self._options.pin else "0",
            "BENCHMARK_PLAN": str(plan),
            "PYTHONPATH": str(servers.ROOT),
        }

    def _write_plan(self) -> Path:
        """Take down what the service sends and answers, for the floor and the bare application."""
        now, first = clock.now(), self._city.activities[0]
        sign_up = data.open_activity(self._database, self._city, now, capacity=10, queue=10)
        asked = {
            "list": ("GET", LIST, first),
            "detail": ("GET", f"/v1/activities/{first}", first),
            "sign-up": ("PUT", f"/v1/activities/{sign_up}/sign-up", sign_up),
        }
        statements = {
            key: sql.take_down(self._app, self._city, now, about, 0, method, path)
            for key, (method, path, about) in asked.items()
        }
        client = self._app.test_client()
        headers = {"Authorization": f"Bearer {self._city.tokens[0]}"}
        answers = {
            key: client.open(
                path, method=method, json={} if method == "PUT" else None, headers=headers
            ).get_data()
            for key, (method, path, _) in asked.items()
        }
        self.statements = {key: len(sent) for key, sent in statements.items()}
        file = self._folder / "plan"
        file.write_bytes(pickle.dumps({"sql": statements, "answers": answers}))
        return file

    def _compare_answers(self, running: dict[str, servers.Server]) -> None:
        """Refuse to measure a floor that does less than the service."""
        asked = [(data.get(LIST, self._city.tokens[0]),) * 2]
        for activity_id in self._city.activities[:20]:
            asked += [
                (data.get(f"/v1/activities/{activity_id}", self._city.tokens[who]),) * 2
                for who in (0, 7, 133)
            ]
        paths = [f"/v1/activities/{self._open(data.WITHOUT_LIMIT, 0)}/sign-up" for _ in range(2)]
        asked.append((data.put(paths[0], self._city.tokens[1]), data.put(paths[1], self._city.tokens[1])))
        for to_floor, to_service in asked:
            floor = _flat(_body(running["floor"].port, to_floor))
            service = _flat(_body(running["engage"].port, to_service))
            different = {key for key in floor.keys() | service.keys() if floor.get(key) != service.get(key)}
            different -= {"/next_cursor", *({"/id", "/created_at"} if to_floor is not to_service else ())}
            if different:
                shown = [(key, floor.get(key), service.get(key)) for key in sorted(different)[:5]]
                raise RuntimeError(f"the floor answers differently: {shown}")

    def _open(self, capacity: int, queue: int) -> UUID:
        return data.open_activity(self._database, self._city, clock.now(), capacity=capacity, queue=queue)

    def _list_requests(self) -> tuple[list[bytes], Any]:
        return [data.get(LIST, token) for token in self._city.tokens[:500]], None

    def _detail_requests(self) -> tuple[list[bytes], Any]:
        count = len(self._city.activities)
        return [
            data.get(f"/v1/activities/{self._city.activities[index % count]}", token)
            for index, token in enumerate(self._city.tokens[:500])
        ], None

    def _open_requests(self) -> tuple[list[bytes], Any]:
        activity_id = self._open(data.WITHOUT_LIMIT, 0)
        return [
            data.put(f"/v1/activities/{activity_id}/sign-up", token) for token in self._city.tokens
        ], activity_id

    def _rush_requests(self) -> tuple[list[bytes], Any]:
        activity_id = self._open(data.RUSH_PLACES, data.RUSH_QUEUE)
        tokens = self._choose.sample(self._city.tokens, 2000)
        return [data.put(f"/v1/activities/{activity_id}/sign-up", token) for token in tokens], activity_id

    def _verify_rush(self, activity_id: UUID, outcome: Outcome) -> None:
        if outcome.states != {
            b"confirmed": data.RUSH_PLACES,
            b"waitlisted": data.RUSH_QUEUE,
            b"activity_full": 2000 - data.RUSH_PLACES - data.RUSH_QUEUE,
        }:
            raise RuntimeError(f"a rush was answered wrongly: {outcome.statuses} {outcome.states}")
        with self._database.reading() as connection:
            places = select(func.count()).where(
                SignUp.activity_id == activity_id, SignUp.state == SignUpState.CONFIRMED
            )
            taken = select(Activity.taken).where(Activity.id == activity_id)
            if {connection.scalar(places), connection.scalar(taken)} != {data.RUSH_PLACES}:
                raise RuntimeError("a rush sold another number of places than there were")

    def _measure(
        self, running: dict[str, servers.Server], make: Any, *, once: bool = False, verify: Any = None
    ) -> dict[str, Measured]:
        measured = {name: Measured() for name in APPLICATIONS}
        for turn in range(self._options.rounds + 1):
            order = list(APPLICATIONS)
            self._choose.shuffle(order)
            for name in order:
                requests, about = make()
                server = running[name]
                before = server.cpu_seconds()
                outcome = self._load(
                    server.port, requests, seconds=None if once else (self._options.seconds if turn else 1.0)
                )
                after = server.cpu_seconds()
                if set(outcome.statuses) - {200, 409} or (verify is None and 409 in outcome.statuses):
                    raise RuntimeError(f"{name} answered {outcome.statuses} {outcome.states}")
                if verify is not None and name != "bare":
                    verify(about, outcome)
                if turn == 0:
                    continue  # caches and prepared statements fill
                count = len(outcome.latencies)
                latencies = sorted(outcome.latencies)
                measured[name].rates.append(count / outcome.seconds)
                measured[name].p50_ms.append(latencies[count // 2] * 1000)
                measured[name].p99_ms.append(latencies[count * 99 // 100] * 1000)
                if before is not None and after is not None:
                    measured[name].cpu_us.append((after - before) / count * 1e6)
        return measured

    def _load(self, port: int, requests: list[bytes], *, seconds: float | None) -> Outcome:
        plan = Plan(port, requests, self._options.connections, seconds)
        result = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.load"],
            input=pickle.dumps(plan),
            stdout=subprocess.PIPE,
            cwd=servers.ROOT,
            check=True,
        )
        outcome: Outcome = pickle.loads(result.stdout)
        return outcome

    def _summary(
        self, cases: dict[str, dict[str, Measured]], cold: list[float], memory: list[float]
    ) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "cases": {
                case: {
                    "applications": {
                        name: {key: _median(values) for key, values in vars(each).items()}
                        | {"all_rates": [round(rate) for rate in each.rates]}
                        for name, each in measured.items()
                    },
                    **{
                        f"of_{other}": _ratio(measured["engage"], measured[other])
                        for other in ("floor", "bare")
                    },
                }
                for case, measured in cases.items()
            },
            "statements": self.statements,
            "cold_start_s": round(statistics.median(cold), 3),
            "memory_mb": [round(value, 1) for value in memory],
        }
        summary["missed"] = [
            f"{case}: {found['of_floor']['median']:.2f} of the floor, {TARGETS[case]:.2f} asked"
            for case, found in summary["cases"].items()
            if found["of_floor"]["median"] < TARGETS[case]
        ]
        if summary["cold_start_s"] > COLD_START_S:
            summary["missed"].append(f"cold start {summary['cold_start_s']} s, {COLD_START_S} asked")
        if max(memory) > MEMORY_MB:
            summary["missed"].append(f"memory of a worker {max(memory):.0f} MB, {MEMORY_MB} asked")
        return summary


def _body(port: int, request: bytes) -> Any:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    pairs = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if pairs is None:
        return {path: value}
    return {key: leaf for step, inner in pairs for key, leaf in _flat(inner, f"{path}/{step}").items()}


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None


def _ratio(one: Measured, other: Measured) -> dict[str, float]:
    ratios = [mine / theirs for mine, theirs in zip(one.rates, other.rates, strict=True)]
    return {
        "median": round(statistics.median(ratios), 3),
        "low": round(min(ratios), 3),
        "high": round(max(ratios), 3),
    }


def _print(engine: str, found: dict[str, Any]) -> None:
    print(
        f"\n{engine}: {found['statements']} SQL statements; cold start {found['cold_start_s']} s; workers {found['memory_mb']} MB\n"
    )
    print(
        f"| {'case':<19} | {'application':<11} | {'req/s':>6} | {'p50 ms':>6} | {'p99 ms':>6} | {'CPU µs':>6} | of the floor |"
    )
    print(f"|{'-' * 21}|{'-' * 13}|{'-' * 8}|{'-' * 8}|{'-' * 8}|{'-' * 8}|{'-' * 14}|")
    for case, measured in found["cases"].items():
        for name, each in measured["applications"].items():
            ratio = measured["of_floor"]
            shown = (
                f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})" if name == "engage" else ""
            )
            cpu = "" if each["cpu_us"] is None else f"{each['cpu_us']:.0f}"
            print(
                f"| {case:<19} | {name:<11} | {each['rates']:>6.0f} | {each['p50_ms']:>6.1f} | {each['p99_ms']:>6.1f} | {cpu:>6} | {shown:<12} |"
            )


if __name__ == "__main__":
    main()
