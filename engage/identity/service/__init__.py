"""Use cases of identity."""

from engage.identity.service.login import LogIn, log_in
from engage.identity.service.profile import MIN_AGE, replace_profile
from engage.identity.service.retention import purge
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
    "end_other_sessions",
    "end_own_session",
    "end_session",
    "log_in",
    "purge",
    "refresh",
    "replace_profile",
    "retire_key",
    "rotate_keys",
    "set_standing",
]
