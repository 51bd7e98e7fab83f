# ruff: noqa: T201 - progress is printed
"""The measuring: applications side by side on one database, rounds interleaved and in changing order."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import engage.tables  # noqa: F401 - every table
from engage.app import create_app
from engage.core import clock, migrations
from engage.core.config import Settings
from engage.core.db import Database
from tests.benchmarks import cases, data, history, servers, sql
from tests.benchmarks.cases import Asked, Case, Site
from tests.benchmarks.load import Outcome, Plan

MEMORY_MB, COLD_START_S = 100, 1.5
WITH_HISTORY = "engage+history"
_EACH_TIME_ANEW = {"Date", "ETag", "RateLimit", "RateLimit-Policy", "X-Request-Id"}


@dataclass
class Measured:
    """What one application did in the rounds of one case."""

    rates: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def prepare(url: str, *, with_history: bool = False, log_level: str = "WARNING") -> Site:
    """Migrate a database and write the city into it, on request with a long past."""
    # In this process one person asks all the time; the servers that are measured have the limits of production.
    settings = Settings(database_url=url, log_level=log_level, limit_person=None)
    database, app = Database(settings), create_app(settings)
    with database.writer.connect() as connection:
        migrations.upgrade(connection)
        connection.commit()
    city = data.fill(database, app, clock.now())
    if with_history:
        history.fill(database, city, clock.now())
    return Site(settings, database, app, city)


class Bench:
    """All measurements on one engine."""

    def __init__(self, urls: list[str], folder: Path, options: argparse.Namespace) -> None:
        self._folder, self._options = folder, options
        self._site = prepare(urls[0])
        self._sites = dict.fromkeys(servers.APPLICATIONS, self._site)
        if options.history:
            self._sites[WITH_HISTORY] = prepare(urls[1], with_history=True)
        self._choose = random.Random(1)
        self._running: dict[str, servers.Server] = {}

    def run(self) -> dict[str, Any]:
        """Return everything measured."""
        plan = self._write_plan()
        cold = [
            servers.cold_start(self._environment(plan, self._site), self._folder / "cold.log")
            for _ in range(5)
        ]
        chosen = [case for case in cases.CASES if self._options.case in case.name]
        with ExitStack() as stack:
            for name, site in self._sites.items():
                port = servers.free_port()
                command = servers.application("engage" if name == WITH_HISTORY else name, port)
                log = self._folder / f"{name}.log"
                self._running[name] = stack.enter_context(
                    servers.running(command, port, self._environment(plan, site), log)
                )
            self._compare_answers()
            measured = {}
            for case in chosen:
                measured[case.name] = self._measure(case)
                found = _of_case(measured[case.name], case.target)
                print(f"{case.name}: {found['of_floor']['median']:.2f} of the floor", file=sys.stderr)
            memory = self._running["engage"].memory_mb()
        return self._summary(chosen, measured, cold, memory)

    def _environment(self, plan: Path, site: Site) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ENGAGE_")}
        return {
            **kept,
            "ENGAGE_DATABASE_URL": site.settings.database_url.replace("+psycopg", ""),
            "ENGAGE_PIN_WORKERS": self._options.pin,
            "BENCHMARK_PLAN": str(plan),
            "PYTHONPATH": str(servers.ROOT),
        }

    def _write_plan(self) -> Path:
        """Take down what the service sends for reads, for the floor, and what it answers, for the bare application."""
        site, now = self._site, clock.now()
        first = site.city.activities[0]
        reads = {"list": cases.LIST, "detail": f"/v1/activities/{first}"}
        statements = {
            key: sql.take_down(site.app, site.city, now, first, 0, path) for key, path in reads.items()
        }
        client = site.app.test_client()
        headers = {"Authorization": f"Bearer {site.city.tokens[0]}"}
        answers = {key: client.get(path, headers=headers).get_data() for key, path in reads.items()}
        sign_up = f"/v1/activities/{site.open()}/sign-up"
        answers["sign-up"] = client.put(sign_up, json={}, headers=headers).get_data()
        answers["check-in"] = (
            b'{"checked_in_at":"2026-10-01T15:01:00+08:00","method":"code","arrived_at":"2026-10-01T15:01:00+08:00","left_at":null}'
        )
        file = self._folder / "plan"
        file.write_bytes(pickle.dumps({"sql": statements, "answers": answers}))
        return file

    def _compare_answers(self) -> None:
        """Refuse to measure a floor that does less than the service: every case, field by field.

        Reads ask both for the same. What writes is asked of each about an activity of its own, made alike, twice:
        the second time it is a repetition.
        """
        for make in (cases._list, cases._detail):
            requests = make(self._site).requests
            for request in [requests[who] for who in (0, 7, 133, 400)]:
                self._compare(request, request, {"/body/next_cursor", "/headers/Content-Length"})
        for case in cases.CASES[2:]:
            mine, theirs = case.make(self._site), case.make(self._site)
            for request in zip(mine.requests[:1] * 2, theirs.requests[:1] * 2, strict=True):
                if request[0].split(b" ", 1)[0] == b"PUT" and case.name.startswith("rush"):
                    continue  # its people are chosen anew each time
                self._compare(
                    *request,
                    {
                        f"/body/{name}"
                        for name in ("id", "created_at", "request_id", "checked_in_at", "arrived_at")
                    },
                )

    def _compare(self, to_floor: bytes, to_service: bytes, but: set[str]) -> None:
        try:
            floor = _flat(_answer(self._running["floor"].port, to_floor))
        except json.JSONDecodeError:
            raise RuntimeError(
                f"the floor fell:\n{(self._folder / 'floor.log').read_text()[-3000:]}"
            ) from None
        service = _flat(_answer(self._running["engage"].port, to_service))
        if floor.keys() != service.keys():
            raise RuntimeError(f"the floor has other fields: {floor.keys() ^ service.keys()}")
        different = {key for key in floor if floor[key] != service[key]} - but
        if different:
            shown = [(key, floor[key], service[key]) for key in sorted(different)[:5]]
            raise RuntimeError(f"the floor answers differently: {shown}")

    def _measure(self, case: Case) -> dict[str, Measured]:
        measured = {name: Measured() for name in self._running}
        for turn in range(self._options.rounds + 1):
            order = list(self._running)
            self._choose.shuffle(order)
            for name in order:
                asked = case.make(self._sites[name])
                seconds = None if case.once else (self._options.seconds if turn else 1.0)
                outcome, cpu = self._load(self._running[name], asked, seconds)
                if name != "bare":
                    cases.check(case, self._sites[name], asked, outcome)
                if turn:  # in the first, caches and prepared statements fill
                    _note(measured[name], outcome, cpu)
        return measured

    def _load(
        self, server: servers.Server, asked: Asked, seconds: float | None
    ) -> tuple[Outcome, float | None]:
        before = server.cpu_seconds()
        plan = Plan(server.port, asked.requests, self._options.connections, seconds)
        result = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.load"],
            input=pickle.dumps(vars(plan)),
            stdout=subprocess.PIPE,
            cwd=servers.ROOT,
            check=True,
        )
        outcome = Outcome(**pickle.loads(result.stdout))
        after = server.cpu_seconds()
        return outcome, None if before is None or after is None else after - before

    def _summary(
        self,
        chosen: list[Case],
        measured: dict[str, dict[str, Measured]],
        cold: list[float],
        memory: list[float],
    ) -> dict[str, Any]:
        on_sqlite = self._site.database.is_sqlite
        summary: dict[str, Any] = {
            "cases": {
                case.name: _of_case(measured[case.name], case.sqlite_target if on_sqlite else case.target)
                for case in chosen
            },
            "cold_start_s": round(statistics.median(cold), 3),
            "memory_mb": [round(value, 1) for value in memory],
        }
        summary["missed"] = [
            f"{name}: {found['of_floor']['median']:.2f} of the floor, {found['target']:.2f} asked"
            for name, found in summary["cases"].items()
            if found["target"] is not None and found["of_floor"]["median"] < found["target"]
        ]
        for case in chosen:
            times = summary["cases"][case.name]["p99_of_floor"]
            if case.p99_times is not None and not on_sqlite and times > case.p99_times:
                summary["missed"].append(
                    f"{case.name}: p99 {times:.1f} times the floor's, {case.p99_times:.0f} asked"
                )
        if summary["cold_start_s"] > COLD_START_S:
            summary["missed"].append(f"cold start {summary['cold_start_s']} s, {COLD_START_S} asked")
        if max(memory) > MEMORY_MB:
            summary["missed"].append(f"memory of a worker {max(memory):.0f} MB, {MEMORY_MB} asked")
        return summary


def _note(measured: Measured, outcome: Outcome, cpu: float | None) -> None:
    latencies = sorted(outcome.latencies)
    count = len(latencies)
    measured.rates.append(count / outcome.seconds)
    measured.p50_ms.append(latencies[count // 2] * 1000)
    measured.p99_ms.append(latencies[count * 99 // 100] * 1000)
    if cpu is not None:
        measured.cpu_us.append(cpu / count * 1e6)


def _of_case(measured: dict[str, Measured], target: float | None) -> dict[str, Any]:
    floor, ours = measured["floor"], measured["engage"]
    found: dict[str, Any] = {
        "target": target,
        "applications": {
            name: {key: _median(values) for key, values in vars(each).items()}
            | {"all_rates": [round(rate) for rate in each.rates]}
            for name, each in measured.items()
        },
        "of_floor": _ratio(ours.rates, floor.rates),
        "of_bare": _ratio(ours.rates, measured["bare"].rates),
        "p99_of_floor": _ratio(ours.p99_ms, floor.p99_ms)["median"],
    }
    if WITH_HISTORY in measured:
        found["with_history"] = _ratio(measured[WITH_HISTORY].rates, ours.rates)
        found["cpu_with_history"] = _ratio(measured[WITH_HISTORY].cpu_us, ours.cpu_us)
    return found


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None


def _ratio(one: list[float], other: list[float]) -> dict[str, float]:
    """Return the ratio of each round, which other work on the machine touches less than either rate."""
    ratios = [mine / theirs for mine, theirs in zip(one, other, strict=True)]
    summed: Callable[[float], float] = lambda value: round(value, 3)
    return {
        "median": summed(statistics.median(ratios)),
        "low": summed(min(ratios)),
        "high": summed(max(ratios)),
    }


def _answer(port: int, request: bytes) -> dict[str, Any]:
    """Return status, headers and body; of headers that differ with each request, that they are there."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])
    return {
        "status": head[9:12].decode(),
        "headers": {**headers, **dict.fromkeys(headers.keys() & _EACH_TIME_ANEW, "")},
        "body": json.loads(body) if body else None,
    }


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    pairs = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if pairs is None:
        return {path: value}
    return {key: leaf for step, inner in pairs for key, leaf in _flat(inner, f"{path}/{step}").items()}
