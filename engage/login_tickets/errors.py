"""Refusals of log-in on a web page."""

from __future__ import annotations

from engage.core.errors import Conflict, Forbidden, NotFound


class NoSuchLoginTicket(NotFound):
    code = "no_such_login_ticket"
    zh, en = (
        "没有这个登录二维码，请刷新网页后重新扫码。",
        "There is no such QR code; reload the page and scan again.",
    )


class LoginTicketExpired(Conflict):
    code = "login_ticket_expired"
    zh, en = (
        "二维码已过期，请在网页上刷新后重新扫码。",
        "This QR code has expired; renew it on the page and scan again.",
    )


class LoginTicketDecided(Conflict):
    code = "login_ticket_decided"
    zh, en = (
        "您已对这个二维码作出决定；要退出网页登录，请到“登录设备”操作。",
        "You have decided about this QR code; to log the page out, end its session under “sessions”.",
    )


class NotStaff(Forbidden):
    code = "not_staff"
    zh, en = (
        "网页登录仅供持有角色的工作人员使用，您目前没有任何角色。",
        "Only staff log in on the web page, and you hold no role at present.",
    )


class PhoneNeeded(Forbidden):
    code = "phone_needed"
    zh, en = (
        "请在手机上用小程序操作；网页登录不能再为其他网页授权。",
        "Do this on the phone, in the mini program: a page that was logged in cannot log in another one.",
    )
