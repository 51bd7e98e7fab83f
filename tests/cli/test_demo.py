"""``engage demo`` as its user meets it: one command, printed lines that work, a clean end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cli.conftest import Process, environment, free_port, get, is_alive, until
from sqlalchemy import func, select

from engage.activities.models import Activity, ActivityStatus
from engage.cli.tour import tour
from engage.core import clock, ids
from engage.core.config import Settings
from engage.core.db import Database

READY = "Press Ctrl-C to stop"


class Demo:
    """A demo in a folder, started and stopped."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder, self.port = home, home / "demo data 演示", free_port()
        self.process: Process | None = None

    def start(self, *options: object, **settings: object) -> Process:
        self.process = Process(
            self.home, "demo", "--dir", self.folder, "--port", self.port, *options, **settings
        )
        return self.process

    def started(self, *options: object, **settings: object) -> Process:
        process = self.start(*options, **settings)
        process.wait_for(READY)
        return process

    def shell_lines(self) -> str:
        output = self.process.output
        return output[output.index("API=") : output.index("按 Ctrl-C")]

    def count(self, *conditions) -> int:
        database = Database(Settings(database_url=f"sqlite:///{self.folder}/engage.db"))
        with database.reading() as connection:
            number = connection.scalar(select(func.count()).select_from(Activity).where(*conditions))
        database.dispose()
        return number


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo that has run once and runs again; settings of the caller that would break a service do not reach it."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    demo.started(
        database_url="postgresql://nobody@127.0.0.1:1/none", workers="many", environment="production"
    )
    yield demo
    if demo.process:
        demo.process.stop()


def _again(demo: Demo) -> Demo:
    if demo.process is None or demo.process._process.poll() is not None:
        demo.started()
    return demo


def test_it_says_what_it_has_made(demo):
    output = demo.process.output
    for part in ("行政区划 7191", "人员 300", "项目 22、活动 68", f"http://127.0.0.1:{demo.port}/docs/"):
        assert part in output


def test_the_printed_lines_work_as_printed(demo):
    script = "set -eo pipefail\n" + _again(demo).shell_lines()
    result = subprocess.run(
        ["bash", "-c", script],
        env=environment(http_proxy="x"),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "urn:engage:problem" not in result.stdout, result.stdout
    for part in (
        '"state": "confirmed"',
        '"checked_in_at": "20',
        '"method": "code"',
        '"stars": 5',
        '"name": "陵川县"',
        '"totals"',
        '"privileged_until"',
        '"role": "hub_manager"',
        '"end_reason": "导览结束"',
    ):
        assert part in result.stdout, part


def test_the_printed_lines_work_a_second_time(demo):
    script = "set -eo pipefail\n" + _again(demo).shell_lines()
    result = subprocess.run(
        ["bash", "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "urn:engage:problem" not in result.stdout


def test_the_readme_shows_roles_and_keys_in_the_words_that_are_printed():
    """Those are run above, as they are."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = readme.partition("**Roles and keys.**")[2].partition("```sh\n")[2].partition("```")[0]
    printed = tour("http://127.0.0.1:8000", "http://127.0.0.1:8001", ids.new_id(), clock.now()).splitlines()
    shown = [line.partition("     # ")[0] for line in block.splitlines() if not line.startswith("# ")]
    assert len(shown) > 15
    assert [line for line in shown if line not in printed] == []


def test_the_documentation_needs_no_other_server(demo):
    _again(demo)
    status, page = get(demo.port, "/docs/")
    assert status == 200
    assets = re.findall(rb'(?:src|href)="([^"]+)"', page)
    assert assets
    for asset in assets:
        assert (
            get(demo.port, "/docs/" + asset.decode().removeprefix("./").removeprefix("/docs/"))[0] == 200
        ), asset
    status, document = get(demo.port, "/openapi.json")
    assert status == 200
    assert json.loads(document)["openapi"].startswith("3.1")


def test_some_are_full_some_are_over_some_are_to_come(demo):
    assert demo.count(Activity.waiting > 0, Activity.taken == Activity.capacity) >= 5
    assert demo.count(Activity.status == ActivityStatus.SUMMARISED) >= 15
    assert demo.count(Activity.status == ActivityStatus.DRAFT) == 1
    assert demo.count(Activity.status == ActivityStatus.CANCELLED) == 1
    assert demo.count(Activity.taken > Activity.capacity) == 0


def test_a_second_demo_in_the_same_folder_is_refused(demo):
    _again(demo)
    other = Process(demo.home, "demo", "--dir", demo.folder, "--port", free_port())
    assert other.wait() == 1
    assert "正在使用" in other.output
    assert get(demo.port, "/readyz")[0] == 200


def test_a_demo_on_a_taken_port_is_refused_at_once(demo, tmp_path):
    _again(demo)
    for ports in (["--port", demo.port], ["--port", free_port(), "--wechat-port", demo.port]):
        other = Process(tmp_path, "demo", *ports)
        assert other.wait() == 1
        assert f"127.0.0.1:{demo.port} 已被占用" in other.output
    assert not (tmp_path / "engage-demo").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_everything(demo, number):
    children = _again(demo).process.children()
    assert len(children) == 3
    assert demo.process.stop(number) == 0
    assert "已停止。 Stopped." in demo.process.output
    until(lambda: not any(map(is_alive, children)))
    assert get(demo.port, "/healthz")[0] == 0
    assert get(demo.port + 1, "/__fake__/health")[0] == 0


def test_a_second_run_keeps_the_data(demo):
    demo.process.stop()
    before = demo.count()
    demo.started()
    assert "沿用上次的数据" in demo.process.output
    assert "行政区划" not in demo.process.output
    assert demo.count() == before


def test_the_death_of_a_child_ends_everything(demo):
    children = _again(demo).process.children()
    os.kill(children[0], signal.SIGKILL)
    assert demo.process.wait() == 1
    assert "意外退出" in demo.process.output
    assert "Traceback" not in demo.process.output
    until(lambda: not any(map(is_alive, children)))


def test_what_is_over_is_said_and_the_tour_still_works(demo):
    """Days later: the open house is held again, and the user is told that most is over."""
    demo.process.stop()
    database = Database(Settings(database_url=f"sqlite:///{demo.folder}/engage.db"))
    with database.transaction() as session:
        names = ("starts_at", "ends_at", "sign_up_opens_at", "sign_up_closes_at")
        names += ("offers_from_at", "queue_closes_at", "excuse_until_at")
        moved = ", ".join(f"{name} = datetime({name}, '-60 days') || '.000000'" for name in names)
        session.connection().exec_driver_sql(f"UPDATE activity SET {moved}")
    database.dispose()
    before = demo.count()
    demo.started()
    assert "已过期，建议 --reset" in demo.process.output
    assert demo.count() == before + 1
    test_the_printed_lines_work_a_second_time(demo)


def test_a_reset_starts_over(demo):
    demo.process.stop()
    (demo.folder / "notes of the user.txt").write_text("mine")
    demo.started("--reset")
    assert "行政区划 7191" in demo.process.output
    assert demo.count() == 68
    assert (demo.folder / "notes of the user.txt").read_text() == "mine"


def test_a_run_that_was_killed_half_way_is_not_taken_for_a_whole_one(demo, tmp_path):
    demo.process.stop()
    shutil.copy(demo.folder / "engage.db", tmp_path / "engage.db")
    process = Process(tmp_path, "demo", "--dir", tmp_path, "--port", free_port())
    assert process.wait() == 1
    assert "上次没有完成" in process.output
    assert "--reset" in process.output
    assert (tmp_path / "engage.db").exists()


def test_a_run_that_was_interrupted_half_way_leaves_nothing(tmp_path):
    process = Process(tmp_path, "demo", "--port", free_port())
    process.wait_for("数据库就绪")
    assert process.stop(signal.SIGINT) == 0
    assert [file.name for file in (tmp_path / "engage-demo").iterdir()] == [".lock"]


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "engage-demo").write_text("mine")
    process = Process(tmp_path, "demo", "--port", free_port())
    assert process.wait() == 1
    assert "不能写入文件夹" in process.output
    assert (tmp_path / "engage-demo").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch, run):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("engage.cli.folder.os.open", refuse)  # root may write everywhere
    result = run("demo", "--port", free_port())
    assert result.exit_code == 1
    assert "不能写入文件夹" in result.stderr
    assert "Permission denied" in result.stderr


def test_ports_that_cannot_be_are_a_sentence(run):
    for options in (["--port", 65535], ["--port", 9000, "--wechat-port", 9000]):
        result = run("demo", *options)
        assert result.exit_code == 1
        assert "两个端口" in result.stderr


def test_a_folder_with_a_question_mark_is_a_sentence(run, tmp_path):
    result = run("demo", "--dir", tmp_path / "what?", "--port", free_port())
    assert result.exit_code == 1
    assert "问号" in result.stderr
