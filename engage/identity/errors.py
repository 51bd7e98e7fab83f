"""Refusals of log-in and profile."""

from __future__ import annotations

from engage.core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unauthorised


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


class SecondFactorRequired(Forbidden):
    code = "second_factor_required"
    zh, en = (
        "此操作需要二次验证，请先输入动态验证码或恢复码。",
        "This needs your second factor: show a code first (POST /me/privileged-session).",
    )


class SecondFactorMissing(Forbidden):
    code = "second_factor_missing"
    zh, en = (
        "此操作需要二次验证，您尚未启用，请先启用。",
        "This needs a second factor and you have none; enrol one first (POST /me/second-factor).",
    )


class SecondFactorEnrolled(Conflict):
    code = "second_factor_enrolled"
    zh, en = (
        "二次验证已启用；如需更换，请先移除。",
        "You have a second factor already; to replace it, remove it first.",
    )


class SecondFactorNotBegun(Conflict):
    code = "second_factor_not_begun"
    zh, en = (
        "没有待确认的二次验证，或已超过 {minutes} 分钟，请重新开始。",
        "Nothing waits for confirmation, or it was begun more than {minutes} minutes ago; begin again.",
    )


class SecondFactorCodeWrong(Forbidden):
    code = "second_factor_code_wrong"
    zh, en = (
        "验证码不正确，还可尝试 {left} 次。请检查手机时间是否准确。",
        "The code is wrong; tries left: {left}. Check that the clock of your phone is right.",
    )


class SecondFactorCodeUsed(Conflict):
    code = "second_factor_code_used"
    zh, en = (
        "验证码已用过，请等待下一个动态验证码，或使用另一个恢复码。",
        "This code was used before; wait for the next one, or take another recovery code.",
    )


class SecondFactorLocked(DomainError):
    status = 429
    code = "second_factor_locked"
    zh, en = (
        "验证码多次错误，暂停输入，请在 {minutes} 分钟后重试，或联系管理员重置。",
        "Too many wrong codes; try again in {minutes} minutes, or ask an administrator to reset your second factor.",
    )


class WeChatProofRefused(Invalid):
    code = "wechat_proof_refused"
    zh, en = (
        "无法确认是您本人的微信：凭证无效、过期、已使用或属于他人，请重新登录微信。",
        "WeChat does not confirm that it is you: the code is unknown, expired, used or somebody else's; call wx.login again.",
    )


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
    zh, en = (
        "账号已注销；如需恢复，请联系所在地团组织。",
        "This account is closed; to have it restored, please contact your League committee.",
    )


class WeChatCodeRefused(Unauthorised):
    code = "wechat_code_refused"
    zh, en = (
        "微信登录凭证无效、过期或已使用，请重新登录微信。",
        "WeChat refused the code (unknown, expired or used); call wx.login again.",
    )


class WeChatAccountBlocked(Forbidden):
    code = "wechat_account_blocked"
    zh, en = (
        "该微信账号被微信限制登录，只有微信能解除，请在微信“设置—帮助与反馈”中申请。",
        "WeChat has restricted this account and only WeChat can lift that: ask there, under Settings > Help & Feedback.",
    )


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
