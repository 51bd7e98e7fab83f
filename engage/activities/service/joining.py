"""The statements of joining: who is let in, as what, decided on the locked row of the activity in the statement that inserts.

They are text because no query builder says ``FOR NO KEY UPDATE`` inside a WITH that also inserts, and read here as they run.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import JSON, Boolean, Integer, String, Uuid, bindparam, column, text

from engage.activities.models import MAX_APPLICATIONS
from engage.activities.queries.overlaps import CLASH
from engage.core.columns import UtcDateTime
from engage.core.prepared import Prepared
from engage.identity.caller import who_beside

if TYPE_CHECKING:
    from sqlalchemy import TextClause
    from sqlalchemy.sql.selectable import TextualSelect

_TYPES: Final[dict[str, Any]] = {
    "id": Uuid(),
    "activity_id": Uuid(),
    "person_id": Uuid(),
    "added_by": Uuid(),
    "version": Integer(),
    "answers": JSON(),
    "pools": Integer(),
    "first_pool": Integer(),
    "free_for": Integer(),
    "by_staff": Boolean(),
    "now": UtcDateTime(),
    "held_until": UtcDateTime(),
}
# What a person has already.
_SEEN: Final = """
    mine AS (
        SELECT id, state, answers, created_at, excused_at, rank, seq, offer_expires_at, held_until, decision_reason FROM sign_up
        WHERE activity_id = :activity_id AND person_id = :person_id AND state <> 'cancelled'
    )
"""
_COLUMNS: Final = """
    activity.id, activity.version, activity.status, activity.starts_at, activity.ends_at, activity.sign_up_opens_at, activity.sign_up_closes_at,
    activity.queue_closes_at, activity.late_minutes, activity.pools_merged,
    mine.id AS mine_id, mine.state AS mine_state, mine.answers AS mine_answers, mine.created_at AS mine_created_at,
    mine.excused_at AS mine_excused_at, mine.offer_expires_at AS mine_offer_expires_at, mine.held_until AS mine_held_until,
    mine.decision_reason AS mine_decision_reason,
    CASE WHEN mine.state = 'waitlisted' THEN (
        SELECT count(*) FROM sign_up AS ahead WHERE ahead.activity_id = :activity_id AND ahead.state = 'waitlisted'
        AND (ahead.rank, ahead.seq) <= (mine.rank, mine.seq)
    ) END AS mine_position,
    check_in.checked_in_at AS mine_checked_in_at, check_in.arrived_at AS mine_arrived_at,
    clash.id AS clash_id, clash.title AS clash_title
"""
# Whoever would apply and cannot: staff, who do not apply, are told of places and turns.
_APPLICATIONS_FULL: Final = f"""
    activity.applied >= {MAX_APPLICATIONS}
    AND (activity.admission_mode = 'review' OR activity.admission_mode = 'lottery' AND NOT activity.drawn) AS applications_full
"""
_FROM: Final = """
    FROM activity LEFT JOIN mine ON true LEFT JOIN check_in ON check_in.sign_up_id = mine.id
    LEFT JOIN clash ON true
"""
_APPLIES: Final = "(admission_mode = 'review' AND NOT :by_staff OR admission_mode = 'lottery' AND NOT drawn)"
_MAY_APPLY: Final = f"(sign_up_closes_at > :now AND applied < {MAX_APPLICATIONS})"
_MAY_QUEUE: Final = "(waiting < waitlist_capacity AND queue_closes_at > :now)"
# In pools, the places of each are looked at when its row is locked; elsewhere this says whether one is free for a newcomer.
# Who still waits once the queue has closed waits for nothing: the places are for the door, and who is there without one uses one up.
_LEFT_BY_WALK_INS: Final = "taken + walk_ins_present < capacity"
_FREE: Final = f"""(
    taken < capacity AND CASE WHEN queue_closes_at > :now THEN waiting = held ELSE {_LEFT_BY_WALK_INS} END AND {{held_until}} IS NULL
)"""
_FREE_IN_POOLS: Final = f"(queue_closes_at > :now OR {_LEFT_BY_WALK_INS})"
_TAKES: Final = """
    version = :version AND status = 'published' AND ends_at > :now
    AND (:by_staff OR sign_up_opens_at <= :now AND sign_up_closes_at > :now)
    AND CASE WHEN {applies} THEN {may_apply} ELSE {has_room} END AND {as_rules_say}
"""
# The row was to let somebody in when the statement began, and does not now that it is held.
_MISSED: Final = "({takes} AND NOT EXISTS (SELECT 1 FROM place))"
_LOCKED: Final = """
    SELECT id, starts_at, ends_at, {applies} AS applies, {may_queue} AS may_queue, {free} AS is_free, waiting + 1 AS turn FROM activity
    WHERE id = :activity_id AND {takes} {lock}
"""
_INSERT: Final = """
    INSERT INTO sign_up (
        id, activity_id, person_id, state, joined_position, pool, pool_mask, held_until, answers, starts_at, ends_at, created_at, updated_at,
        added_by
    )
"""
_UNDIVIDED: Final = """
    SELECT :id, id, :person_id,
        CASE WHEN applies THEN 'applied' WHEN is_free THEN 'confirmed' ELSE 'waitlisted' END,
        CASE WHEN NOT applies AND NOT is_free THEN turn END, NULL, 0,
        CASE WHEN NOT applies AND NOT is_free THEN {held_until} END, :answers, starts_at, ends_at, :now, :now, :added_by
    FROM place WHERE true
"""
_DIVIDED: Final = """
    SELECT :id, id, :person_id,
        CASE WHEN applies THEN 'applied' WHEN pick.position IS NOT NULL THEN 'confirmed' ELSE 'waitlisted' END,
        CASE WHEN NOT applies AND pick.position IS NULL THEN turn END, pick.position, :pools,
        CASE WHEN NOT applies AND pick.position IS NULL THEN {held_until} END, :answers, starts_at, ends_at, :now, :now, :added_by
    FROM place LEFT JOIN pick ON NOT place.applies AND {held_until} IS NULL
    WHERE applies OR pick.position IS NOT NULL OR may_queue
"""
# Every pool that is open to the person is locked before its counter is read: a lock shows the newest counter, a look may not.
_PICK: Final = """
    , pools AS (
        SELECT pool.position, pool.overflow_rank, pool.taken, pool.capacity
        FROM activity_pool AS pool JOIN place ON pool.activity_id = place.id
        WHERE (:free_for >> (pool.position - 1)) & 1 = 1 {lock_pools}
    ), pick AS (
        SELECT position FROM pools WHERE taken < capacity AND (position = :first_pool OR overflow_rank IS NOT NULL)
        ORDER BY position <> :first_pool, overflow_rank, position LIMIT 1
    )
"""
_RETURNING: Final = "RETURNING state AS joined_state, joined_position"


def _prepared(statement: str) -> TextClause:
    used = {name: kind for name, kind in _TYPES.items() if f":{name}" in statement}
    return text(statement).bindparams(*(bindparam(name, type_=kind) for name, kind in used.items()))


def _takes(*, divided: bool, free: str) -> str:
    """Return the condition on an activity that somebody may join it now; in pools, whether one has a place is seen later."""
    return _TAKES.format(
        applies=_APPLIES,
        may_apply=_MAY_APPLY,
        has_room=_FREE_IN_POOLS if divided else f"({free} OR {_MAY_QUEUE})",
        as_rules_say="NOT pools_merged AND pools_merge_at > :now" if divided else "pools_merged",
    )


def _place(*, divided: bool, lock: str) -> str:
    free = _FREE.format(held_until=_held_until(lock))
    return _LOCKED.format(
        applies=_APPLIES,
        may_queue=_MAY_QUEUE,
        free=free,
        takes=_takes(divided=divided, free=free),
        lock=lock,
    )


def _held_until(lock: str) -> str:
    # PostgreSQL has to be told the type of a parameter that stands alone.
    return "CAST(:held_until AS timestamp with time zone)" if lock else ":held_until"


def _entry(*, divided: bool, lock: str) -> tuple[str, str]:
    """Return the WITH entries that lock and pick, and the INSERT that lets in."""
    held_until = _held_until(lock)
    picked = _PICK.format(lock_pools="FOR NO KEY UPDATE OF pool" if lock else "") if divided else ""
    chosen = (_DIVIDED if divided else _UNDIVIDED).format(held_until=held_until)
    return f"place AS ({_place(divided=divided, lock=lock)}) {picked}", f"{_INSERT} {chosen} {_RETURNING}"


def _met(statement: str) -> TextualSelect:
    return _prepared(statement).columns(*(column(name, kind) for name, kind in _RESULT.items()))


def _for_postgresql(*, divided: bool) -> TextualSelect:
    place, insert = _entry(divided=divided, lock="AND NOT EXISTS (SELECT 1 FROM mine) FOR NO KEY UPDATE")
    missed = _MISSED.format(takes=_takes(divided=divided, free=_FREE.format(held_until=_held_until("locks"))))
    return _met(
        f"""
        WITH {_SEEN}, clash AS ({CLASH}), {place}, entry AS ({insert})
        SELECT {_COLUMNS}, {_APPLICATIONS_FULL}, {missed}, entry.joined_state, entry.joined_position
        {_FROM} LEFT JOIN entry ON true WHERE activity.id = :activity_id
        """
    )


def _for_sqlite(*, divided: bool) -> TextualSelect:
    place, insert = _entry(divided=divided, lock="")
    return _prepared(f"WITH {place} {insert}").columns(
        column("joined_state", String()), column("joined_position", Integer())
    )


def _look(takes: str) -> TextualSelect:
    return _met(
        f"WITH {_SEEN}, clash AS ({CLASH}) SELECT {_COLUMNS}, {_APPLICATIONS_FULL}, {takes} AS takes, NULL AS joined_state, NULL AS joined_position"
        f" {_FROM} WHERE activity.id = :activity_id"
    )


def _look_first(*, divided: bool) -> dict[str, TextualSelect]:
    return {
        dialect: _look(_takes(divided=divided, free=_FREE.format(held_until=_held_until(lock))))
        for dialect, lock in (("sqlite", ""), ("postgresql", "locks"))
    }


class Met(NamedTuple):
    """What joining met: facts of the activity, a live sign-up of the person, a place elsewhere, and what they got.

    ``takes``: whether the activity as it was when the statement began takes them, where that was looked at alone, or where its row turned
    out otherwise once it was held.
    """

    id: UUID
    version: int
    status: str
    starts_at: datetime
    ends_at: datetime
    sign_up_opens_at: datetime
    sign_up_closes_at: datetime
    queue_closes_at: datetime
    late_minutes: int
    pools_merged: bool
    mine_id: UUID | None
    mine_state: str | None
    mine_answers: dict[str, Any]
    mine_created_at: datetime | None
    mine_excused_at: datetime | None
    mine_offer_expires_at: datetime | None
    mine_held_until: datetime | None
    mine_decision_reason: str | None
    mine_position: int | None
    mine_checked_in_at: datetime | None
    mine_arrived_at: datetime | None
    clash_id: UUID | None
    clash_title: str | None
    applications_full: bool
    takes: bool | None
    joined_state: str | None
    joined_position: int | None


_INSTANTS: Final = ("_at", "_until")
_KINDS: Final[dict[str, Any]] = {
    "id": Uuid(), "mine_id": Uuid(), "clash_id": Uuid(), "version": Integer(), "late_minutes": Integer(), "mine_position": Integer(),
    "joined_position": Integer(), "pools_merged": Boolean(), "applications_full": Boolean(), "takes": Boolean(), "mine_answers": JSON(),
}  # fmt: skip
_RESULT: Final[dict[str, Any]] = {
    name: UtcDateTime() if name.endswith(_INSTANTS) else _KINDS.get(name, String()) for name in Met._fields
}
# What joining would meet, without letting in.
SEEN: Final = Prepared(_look("NULL"), Met)
# On PostgreSQL all of it is one round trip. On SQLite, whose one writer is waited for, joining follows a look at whether it has a chance.
JOIN_AT_ONCE: Final = {divided: Prepared(_for_postgresql(divided=divided), Met) for divided in (False, True)}
LOOK_FIRST: Final = {divided: Prepared(_look_first(divided=divided), Met) for divided in (False, True)}
# The same look where places are not divided, beside who calls: whoever gets nothing, and whoever repeats themselves, is answered by it.
WHO_MEETS: Final = Prepared({name: who_beside(look) for name, look in _look_first(divided=False).items()})
JOIN_NOW: Final = {divided: Prepared(_for_sqlite(divided=divided)) for divided in (False, True)}
