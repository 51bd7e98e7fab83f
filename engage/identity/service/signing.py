"""Changing the keys that sign access tokens."""

from __future__ import annotations

import base64
import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from engage.core.db import upserting
from engage.identity.errors import NoSuchSigningKey
from engage.identity.models import SigningKey, signing_key_purpose
from engage.identity.tokens.signing import ALWAYS, LEAD, derived_kids

if TYPE_CHECKING:
    from datetime import datetime

    from engage.core.db import Work

_KID_BYTES, _SEED_BYTES = 8, 32
# For a worker that read of the new key late, and for clocks.
_MARGIN: Final = timedelta(minutes=1)

log = logging.getLogger("engage.identity")


def rotate_keys(work: Work) -> str:
    """Make a new signing key and return its name; the keys before it verify until the last token they signed has expired.

    It signs from half a minute on, when every worker has read of it.
    """
    return _succeed(work, work.now + LEAD)


def retire_key(work: Work, kid: str) -> str | None:
    """Let a key verify nothing from now on; return the name of a new one that had to be made to sign in its place.

    Nobody is logged out by it: an access token of a retired key counts as expired, and a refresh token gives the next.

    Raises:
        NoSuchSigningKey: there is none of this name.

    """
    _record_derived(work)
    derived = derived_kids(work.settings).keys()
    kids = derived if kid in derived else [kid]  # those have one secret: whoever knows one of them knows all
    retired = work.session.execute(
        update(SigningKey).where(SigningKey.kid.in_(kids)).values(verifies_until=work.now)
    )
    if not retired.rowcount:  # type: ignore[attr-defined]
        raise NoSuchSigningKey
    log.warning("signing key retired", extra={"fields": {"kid": kid}})
    lasting = select(SigningKey.kid).where(
        SigningKey.signs_from <= work.now, SigningKey.verifies_until.is_(None)
    )
    return None if work.session.scalar(select(lasting.exists())) else _succeed(work, work.now)


def _succeed(work: Work, signs_from: datetime) -> str:
    _record_derived(work)
    last = signs_from + work.settings.access_token_life + _MARGIN
    work.session.execute(
        update(SigningKey).where(SigningKey.verifies_until.is_(None)).values(verifies_until=last)
    )
    kid = os.urandom(_KID_BYTES).hex()
    seed = base64.b64encode(os.urandom(_SEED_BYTES)).decode()
    work.session.add(
        SigningKey(
            kid=kid,
            algorithm=work.settings.token_algorithm,
            seed_sealed=work.settings.keyring.seal(seed, signing_key_purpose(kid)),
            created_at=work.now,
            signs_from=signs_from,
        )
    )
    work.session.flush()
    log.warning("signing key made", extra={"fields": {"kid": kid, "signs_from": signs_from.isoformat()}})
    return kid


def _record_derived(work: Work) -> None:
    """Give the derived keys rows, so that their end can be written down."""
    rows = [
        {"kid": kid, "algorithm": algorithm, "created_at": work.now, "signs_from": ALWAYS}
        for kid, algorithm in derived_kids(work.settings).items()
    ]
    work.session.execute(upserting(work.session, SigningKey).values(rows).on_conflict_do_nothing())
