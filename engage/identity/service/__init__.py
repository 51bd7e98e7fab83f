"""Use cases of identity."""

from engage.identity.service.login import LogIn, log_in
from engage.identity.service.profile import MIN_AGE, replace_profile
from engage.identity.service.retention import purge
from engage.identity.service.second_factor import (
    begin_second_factor,
    confirm_second_factor,
    end_privileged_session,
    open_privileged_session,
    remove_second_factor,
    renew_recovery_codes,
    reset_second_factor,
)
from engage.identity.service.sessions import (
    OpenSession,
    end_other_sessions,
    end_own_session,
    end_session,
    refresh,
)
from engage.identity.service.signing import retire_key, rotate_keys
from engage.identity.service.standing import set_standing

__all__ = [
    "MIN_AGE",
    "LogIn",
    "OpenSession",
    "begin_second_factor",
    "confirm_second_factor",
    "end_other_sessions",
    "end_own_session",
    "end_privileged_session",
    "end_session",
    "log_in",
    "open_privileged_session",
    "purge",
    "refresh",
    "remove_second_factor",
    "renew_recovery_codes",
    "replace_profile",
    "reset_second_factor",
    "retire_key",
    "rotate_keys",
    "set_standing",
]
