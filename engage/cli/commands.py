"""The commands, how they are found, and what becomes of their errors."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from engage.cli.faults import Fault
from engage.core.config import SettingsError
from engage.core.errors import DomainError, Language

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMANDS: Final[Mapping[str, str]] = {
    "demo": "engage.cli.demo:demo",
    "serve": "engage.cli.serve:serve",
    "worker": "engage.cli.worker:worker",
    "db": "engage.cli.database:db",
    "import": "engage.cli.imports:imports",
    "openapi": "engage.cli.document:openapi",
    "grant": "engage.cli.grant:grant",
    "access": "engage.cli.access:access",
    "person": "engage.cli.person:person",
    "keys": "engage.cli.keys:keys",
    "limits": "engage.cli.limits:limits",
    "audit": "engage.cli.audit:audit",
    "doctor": "engage.cli.doctor:doctor",
    "fake-wechat": "engage.cli.fake_wechat:fake_wechat",
}

_ISSUES_SHOWN: Final = 20


class Commands(click.Group):
    """Loads a command when it is called, so that the server does not pay for the migrations, nor they for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        gc.disable()  # what is loaded stays: to look through it for garbage again and again is a fifth of the start
        try:
            command: click.Command = getattr(import_module(module), name)
        finally:
            gc.enable()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what an operator can mend is one sentence, not a traceback."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise Fault("设置有误：", str(error)) from error
        except DomainError as error:
            raise _refused(error) from error
        except DatabaseError as error:
            if not isinstance(error, OperationalError) and type(error) is not DatabaseError:
                raise
            raise _unusable(error) from error
        except InterfaceError as error:
            raise _unusable(error) from error
        except ModuleNotFoundError as error:
            raise Fault(
                f"缺少 Python 包 {error.name}，请重新安装 engage。",
                f"Missing package {error.name}: install engage again.",
            ) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            raise Fault(f"系统拒绝了操作{where}：", f"{error.strerror or error}.") from error


def _refused(error: DomainError) -> Fault:
    lines = [
        f"\n  {issue.pointer or '/'}: {issue.sentence(Language.ZH)} {issue.sentence(Language.EN)}"
        for issue in error.issues[:_ISSUES_SHOWN]
    ]
    if len(error.issues) > _ISSUES_SHOWN:
        lines.append(f"\n  … {len(error.issues) - _ISSUES_SHOWN}")
    return Fault(error.sentence(Language.ZH), error.sentence(Language.EN) + "".join(lines))


def _unusable(error: DatabaseError | InterfaceError) -> Fault:
    # The driver's own first line says what failed; statement and parameters stay out of it.
    reason = str(error.orig).strip().partition("\n")[0]
    return Fault("数据库无法使用，请检查 ENGAGE_DATABASE_URL。", f"The database cannot be used: {reason}.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="engage", prog_name="engage")
def engage() -> None:
    """engage：共青团市级组织的青年服务后端 · youth engagement backend of a city's League committee.

    第一次使用请运行 engage demo。正式部署：设置 ENGAGE_* 变量，然后 engage db upgrade、engage import、
    engage doctor、engage serve 和 engage worker。

    New here? Run `engage demo`. To install for real: set the ENGAGE_* variables (see the README), then run
    `engage db upgrade`, `engage import divisions`, `engage doctor`, and keep `engage serve` and
    `engage worker` running.
    """
