"""Refusals of log-in and profile."""

from __future__ import annotations

from engage.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorised


class TokenInvalid(Unauthorised):
    code = "token_invalid"
    zh, en = "登录凭证无效，请重新登录。", "The access token is not valid; log in again."


class TokenExpired(Unauthorised):
    code = "token_expired"
    zh, en = "登录凭证已过期，请刷新。", "The access token has expired; refresh it."


class SessionEnded(Unauthorised):
    code = "session_ended"
    zh, en = "登录状态已结束，请重新登录。", "This session has ended; log in again."


class ApiKeyInvalid(Unauthorised):
    code = "api_key_invalid"
    zh, en = (
        "API 密钥无效或已撤销。",
        "The API key is not valid, or it has been revoked.",
    )


class ApiKeyExpired(Unauthorised):
    code = "api_key_expired"
    zh, en = "API 密钥已过期，请轮换或新建。", "The API key has expired; rotate it or make a new one."


class ApiKeyWrongAddress(Forbidden):
    code = "api_key_wrong_address"
    zh, en = (
        "API 密钥不能从这个网络地址使用。",
        "This API key may not be used from this network address.",
    )


class ApiKeyNotTaken(Forbidden):
    code = "api_key_not_taken"
    zh, en = (
        "此接口不接受 API 密钥，请登录后使用。",
        "This operation does not take API keys; log in instead.",
    )


class ApiKeyReadsOnly(Forbidden):
    code = "api_key_reads_only"
    zh, en = "API 密钥只能读取，不能修改。", "API keys may read, not change anything."


class NoSuchSession(NotFound):
    code = "no_such_session"
    zh, en = "没有这个登录，或已结束。", "There is no such session, or it has ended."


class NoSuchSigningKey(NotFound):
    code = "no_such_signing_key"
    zh, en = "没有这个签名密钥。", "There is no such signing key."


class RefreshTokenInvalid(Unauthorised):
    code = "refresh_token_invalid"
    zh, en = (
        "刷新凭证无效或已过期，请重新登录。",
        "The refresh token is not valid or has expired; log in again.",
    )


class RefreshTokenReused(Unauthorised):
    code = "refresh_token_reused"
    zh, en = (
        "刷新凭证被重复使用，为安全起见已退出登录，请重新登录。",
        "The refresh token was used twice; for safety this session has been ended.",
    )


class AccountSuspended(Forbidden):
    code = "account_suspended"
    zh, en = (
        "账号已被停用，请联系所在地团组织。",
        "This account is suspended; please contact your League committee.",
    )


class AccountClosed(Forbidden):
    code = "account_closed"
    zh, en = "账号已注销。", "This account is closed."


class WeChatCodeRefused(Unauthorised):
    code = "wechat_code_refused"
    zh, en = (
        "微信登录凭证无效、过期或已使用，请重新登录微信。",
        "WeChat refused the code (unknown, expired or used); call wx.login again.",
    )


class WeChatAccountBlocked(Forbidden):
    code = "wechat_account_blocked"
    zh, en = "该微信账号被微信限制登录。", "WeChat has restricted this account."


class WeChatPhoneCodeRefused(Invalid):
    code = "wechat_phone_code_refused"
    zh, en = (
        "手机号验证码无效、过期或已使用，请重新授权手机号。",
        "WeChat refused the phone code; ask for the number again.",
    )


class LoginInProgress(Conflict):
    code = "login_in_progress"
    zh, en = "同一登录凭证正在处理中，请稍后重试。", "The same code is being processed; try again shortly."
    retry_after = 1


class TooYoung(Forbidden):
    code = "too_young"
    zh, en = (
        "未满 {min_age} 周岁不能注册，需由监护人同意后办理。",
        "People under {min_age} cannot register without a guardian's consent.",
    )


class TooOld(Forbidden):
    code = "too_old"
    zh, en = "本服务面向 {max_age} 周岁及以下青年。", "This service is for people of {max_age} and under."


class NoSuchPerson(NotFound):
    code = "no_such_person"
    zh, en = "没有这个人，或您不能查看。", "There is no such person, or you may not see them."


class ProfileIncomplete(Conflict):
    """Raised by features that need to know who somebody is before they let them take part."""

    code = "profile_incomplete"
    zh, en = (
        "请先完善个人资料（姓名、出生日期、家乡、所在地）。",
        "Complete your profile first: name, date of birth, home town, where you live.",
    )
