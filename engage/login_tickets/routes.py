"""Operations of log-in on a web page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from engage.core.http import Api, Mode, public
from engage.core.lockout import By, Gate
from engage.core.replies import this_request
from engage.identity.caller import member, tokens_of
from engage.identity.errors import AccountClosed, AccountSuspended
from engage.identity.models import device_of
from engage.login_tickets import queries, service
from engage.login_tickets.errors import (
    LoginTicketDecided,
    LoginTicketExpired,
    NoSuchLoginTicket,
    NotStaff,
    PhoneNeeded,
)
from engage.login_tickets.schemas import (
    LoginDecisionIn,
    LoginOutcomeOut,
    LoginTicketOut,
    LoginTicketSecretIn,
    NewLoginTicketOut,
)

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Errand, Look, Work

api: Final = Api("网页登录 · Log-in on a web page")
# A row for each, whoever asks; an office behind one address renews its codes every two minutes.
_TICKETS: Final = Gate("login_ticket", By.ADDRESS, (), counts_success=True)
_SECRET: Final = Gate("page_log_in", By.ADDRESS, (NoSuchLoginTicket,), lets_good_pass=True)


@api.operation(
    "POST", "/login-tickets", access=public, zh="生成网页登录二维码", returns=NewLoginTicketOut, status=201,
    location="/login-tickets/{id}", gate=_TICKETS,
)  # fmt: skip
def create_login_ticket(work: Work) -> dict[str, Any]:
    """Make a QR code with which a phone logs this page in.

    两分钟内有效，一次使用。`secret` 只留在网页中，凭它领取登录凭证；`number` 显示在网页上，由本人输入手机。

    Good for two minutes and for one log-in. The page keeps `secret`, with which alone the tokens are fetched, and shows `number`, which
    the person types on the phone.
    """
    return service.open_ticket(work, device_of(this_request().environ.get("HTTP_USER_AGENT", "")))


@api.operation(
    "GET", "/login-tickets/{ticket_id}", access=member, zh="扫码后查看是哪台设备要登录", returns=LoginTicketOut,
    refuses=[NoSuchLoginTicket, NotStaff, PhoneNeeded],
)  # fmt: skip
def read_login_ticket(look: Look, ticket_id: UUID) -> dict[str, Any]:
    """Read, on the phone, what is asking for a log-in.

    小程序扫码得到的文字末尾即编号：`…?ticket=编号` 或 `engage-login:编号`。仅供工作人员，且只能用小程序的登录。

    The id stands at the end of what the scanner reads: `…?ticket=ID` or `engage-login:ID`. For staff, logged in in the mini program.
    """
    return queries.read_ticket(look, ticket_id)


@api.operation(
    "PUT", "/login-tickets/{ticket_id}/decision", access=member, zh="同意或拒绝网页登录", body=LoginDecisionIn,
    returns=LoginTicketOut, refuses=[NoSuchLoginTicket, LoginTicketExpired, LoginTicketDecided, NotStaff, PhoneNeeded],
    audited=True,
)  # fmt: skip
def decide_login_ticket(work: Work, ticket_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Let the page in, or not.

    同意时须输入网页上显示的数字；数字不符即拒绝（`status` 为 `rejected`），需刷新二维码。只能决定一次，重复提交结果不变。

    To accept takes the number that the page shows; a wrong one rejects (`status` is `rejected`), and the page needs another code. Decided
    once; repeating the same changes nothing.
    """
    return service.decide(work, ticket_id, accept=body["accept"], number=body["number"])


@api.operation(
    "POST", "/login-tickets/{ticket_id}/tokens", access=public, zh="网页领取登录凭证", body=LoginTicketSecretIn,
    returns=LoginOutcomeOut, mode=Mode.ERRAND, refuses=[NoSuchLoginTicket, AccountSuspended, AccountClosed, NotStaff],
    gate=_SECRET,
)  # fmt: skip
def log_in_by_qr(errand: Errand, ticket_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Ask, from the page, whether the phone has said yes; then get the tokens.

    每两秒询问一次即可。`pending` 等待中，`rejected` 已拒绝，`expired` 已过期，`used` 已登录：凭证给出一次，三十秒内重复询问得到同一登录。
    网页的登录与手机的登录相互独立，时限较短，在手机的登录设备中可见、可退出。

    Every two seconds will do. Once it is `used` the tokens are given; asked again within 30 seconds they are of the same session. The
    session is the page's own, shorter than one of a phone, and seen and ended on the phone like any other.
    """
    fetched = service.fetch(errand, ticket_id, body["secret"])
    tokens = tokens_of(fetched.session, errand.settings) if fetched.session else None
    return {"status": fetched.status, "tokens": tokens}
