"""Lists and details of enclave branches, applications and participants: rows of columns."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, Select, String, Uuid, and_, bindparam, func, literal, null, or_, select
from sqlalchemy.orm import aliased

from engage.core.clock import age_on, shanghai_day
from engage.core.paging import Page, Pager, beyond
from engage.core.prepared import Prepared
from engage.enclaves.access import (
    decidable,
    is_open,
    require_decider,
    visible_applications,
    visible_branches,
)
from engage.enclaves.errors import NoSuchEnclaveApplication, NoSuchEnclaveBranch
from engage.enclaves.models import (
    ApplicationState,
    EnclaveApplication,
    EnclaveBranch,
    EnclaveParticipation,
)
from engage.identity.models import Person
from engage.orgs.access import LATER
from engage.orgs.models import Org
from engage.regions.geo import Point, box_around, distance_m, position_of
from engage.regions.models import Division
from engage.regions.queries import box_filters, box_values

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from engage.core.db import Context

_Home, _Host, _Hometown = aliased(Division), aliased(Division), aliased(Division)

_BRANCH: Final = (
    EnclaveBranch.id, Org.name, EnclaveBranch.home_county_code, _Home.name, EnclaveBranch.host_city_code, _Host.name,
    EnclaveBranch.host_org, EnclaveBranch.address, EnclaveBranch.lat, EnclaveBranch.lng, EnclaveBranch.status,
)  # fmt: skip
_LAT, _LNG = 8, 9  # places of the position in a row of the branch columns
_ROWS: Final = bindparam("rows", type_=Integer())
_BRANCH_ID: Final[Any] = bindparam("branch_id", type_=Uuid())
_AFTER_ID: Final[Any] = bindparam("after_id", type_=Uuid())


def _branches(*more: Any) -> Select[Any]:
    columns: tuple[Any, ...] = (*_BRANCH, *more)
    statement: Select[Any] = select(*columns).select_from(EnclaveBranch).join(Org, Org.id == EnclaveBranch.id)
    statement = statement.join(_Home, _Home.code == EnclaveBranch.home_county_code)
    return statement.join(_Host, _Host.code == EnclaveBranch.host_city_code)


def _branch(row: Any, distance: float | None = None) -> dict[str, Any]:
    branch_id, name, home_code, home, host_code, host, host_org, address, lat, lng, status, *_ = row
    return {
        "id": branch_id,
        "name": name,
        "home_county": {"code": home_code, "name": home},
        "host_city": {"code": host_code, "name": host},
        "host_org": host_org,
        "address": address,
        "position": position_of(lat, lng),
        "status": status,
        "distance_m": None if distance is None else round(distance),
    }


_ORDER: Final = (EnclaveBranch.home_county_code, Org.name, EnclaveBranch.id)
_FILTERS: Final[dict[str, Any]] = {
    "home_county": lambda: EnclaveBranch.home_county_code == bindparam("home_county", type_=String()),
    "host_city": lambda: EnclaveBranch.host_city_code == bindparam("host_city", type_=String()),
    "public": is_open,
    "visible": lambda: visible_branches(LATER),
    "after": lambda: beyond(
        _ORDER,
        [bindparam("after_county", type_=String()), bindparam("after_name", type_=String()), _AFTER_ID],
    ),
    **box_filters(EnclaveBranch.lat, EnclaveBranch.lng),
}


@cache
def _list(filters: frozenset[str]) -> Prepared[Any]:
    statement = _branches().where(*(_FILTERS[name]() for name in sorted(filters)))
    if filters & {"box", "two_boxes"}:
        return Prepared(statement)
    return Prepared(statement.order_by(*_ORDER).limit(_ROWS))


def _run(look: Context, values: dict[str, Any]) -> list[Any]:
    """Run the list whose filters are named in ``values``."""
    return _list(frozenset(_FILTERS.keys() & values.keys())).all(look.db, values)


def list_branches(look: Context, query: dict[str, Any]) -> Page:
    """Return branches by home county and name, or by distance when ``near`` is given. One statement."""
    pager = Pager(look.settings, "enclave-branches", query)
    values: dict[str, Any] = {name: query[name] for name in ("home_county", "host_city") if query[name]}
    values |= {"me": look.actor.id, "now": look.now}
    values["public" if look.actor.id is None else "visible"] = True
    after = pager.after()
    if query["near"] is not None:
        items = _around(look, values, query["near"], query["radius_m"])
        if after:
            items = [item for item in items if _near_key(item) > (after[0], after[1].bytes)]
        return pager.page(items, lambda item: [item["distance_m"], item["id"]])
    if after:
        values |= dict(zip(("after", "after_county", "after_name", "after_id"), (True, *after), strict=True))
    rows = _run(look, {**values, "rows": query["limit"] + 1})
    return pager.page(
        [_branch(row) for row in rows], lambda item: [item["home_county"]["code"], item["name"], item["id"]]
    )


def _around(look: Context, values: dict[str, Any], near: Point, radius_m: float) -> list[dict[str, Any]]:
    rows = _run(look, {**values, **box_values(box_around(near, radius_m))})
    measured = [(distance_m(near, Point(row[_LAT], row[_LNG])), row) for row in rows]
    return sorted((_branch(row, metres) for metres, row in measured if metres <= radius_m), key=_near_key)


def _near_key(item: dict[str, Any]) -> tuple[int, bytes]:
    return item["distance_m"], item["id"].bytes


@cache
def _detail(*, known: bool) -> Prepared[Any]:
    participants = (
        select(func.count())
        .where(EnclaveParticipation.branch_id == EnclaveBranch.id, EnclaveParticipation.left_at.is_(None))
        .correlate(EnclaveBranch)
        .scalar_subquery()
    )
    details = (
        EnclaveBranch.description,
        EnclaveBranch.contact_phone,
        EnclaveBranch.updated_at,
        EnclaveBranch.version,
    )
    mine = (
        (_My.id, _My.state, _My.reason, _My.created_at, EnclaveParticipation.id) if known else (null(),) * 5
    )
    statement = _branches(*details, participants, decidable(LATER) if known else literal(value=False), *mine)
    if known:
        statement = _with_mine(statement)
    visible = visible_branches(LATER) if known else is_open()
    return Prepared(statement.where(EnclaveBranch.id == _BRANCH_ID, visible))


def read_branch(look: Context, branch_id: UUID) -> dict[str, Any]:
    """Return one branch, with what the caller has to do with it. One statement.

    Raises:
        NoSuchEnclaveBranch: there is none that the caller may see.

    """
    known = look.actor.id is not None
    values = {"branch_id": branch_id, "me": look.actor.id, "now": look.now}
    row = _detail(known=known).one_or_none(look.db, values)
    if row is None:
        raise NoSuchEnclaveBranch
    more = row[len(_BRANCH) :]
    description, contact_phone, updated_at, version, count, can_decide, *application, participation = more
    return {
        **_branch(row),
        "description": description,
        "contact_phone": contact_phone,
        "updated_at": updated_at,
        "version": version,
        "participants_count": count,
        "can_decide": can_decide,
        "my": {"application": _my_application(application), "is_participant": participation is not None}
        if known
        else None,
    }


_My = aliased(EnclaveApplication)


def _with_mine(statement: Select[Any]) -> Select[Any]:
    """Join the caller's newest application to each branch, and their participation while it lasts."""
    newest = (
        select(EnclaveApplication.id)
        .where(
            EnclaveApplication.branch_id == EnclaveBranch.id, EnclaveApplication.person_id == LATER.actor.id
        )
        .order_by(EnclaveApplication.id.desc())
        .limit(1)
        .correlate(EnclaveBranch)
        .scalar_subquery()
    )
    lasting = and_(
        EnclaveParticipation.branch_id == EnclaveBranch.id,
        EnclaveParticipation.person_id == LATER.actor.id,
        EnclaveParticipation.left_at.is_(None),
    )
    return statement.outerjoin(_My, _My.id == newest).outerjoin(EnclaveParticipation, lasting)


def _my_application(columns: list[Any]) -> dict[str, Any] | None:
    application_id, state, reason, created_at = columns
    if application_id is None:
        return None
    return {"id": application_id, "state": state, "reason": reason, "created_at": created_at}


@cache
def _for_home() -> Prepared[Any]:
    statement = _with_mine(_branches(EnclaveParticipation.joined_at)).where(
        is_open(), or_(EnclaveParticipation.id.is_not(None), _My.state == ApplicationState.SUBMITTED)
    )
    newest_first = (EnclaveParticipation.id.is_(None), EnclaveParticipation.joined_at.desc(), _My.id.desc())
    return Prepared(statement.order_by(*newest_first).limit(1))


def my_branch_for_home(look: Context) -> dict[str, Any] | None:
    """Return the branch that a member joined last, else the one they have applied to, else None. One statement.

    Returns:
        A branch as in lists, with ``joined_at`` (None while the application is open).

    """
    row = _for_home().one_or_none(look.db, {"me": look.actor.id})
    return None if row is None else {**_branch(row), "joined_at": row[-1]}


@cache
def _my_list(*, further: bool) -> Prepared[Any]:
    statement = (
        _branches(EnclaveParticipation.id, EnclaveParticipation.joined_at)
        .join(EnclaveParticipation, EnclaveParticipation.branch_id == EnclaveBranch.id)
        .where(EnclaveParticipation.person_id == LATER.actor.id, EnclaveParticipation.left_at.is_(None))
    )
    if further:
        statement = statement.where(EnclaveParticipation.id < _AFTER_ID)
    return Prepared(statement.order_by(EnclaveParticipation.id.desc()).limit(_ROWS))


def list_my_branches(look: Context, query: dict[str, Any]) -> Page:
    """Return the branches that the caller takes part in, the newest first. One statement."""
    pager = Pager(look.settings, "my-enclave-branches", query)
    after = pager.after()
    values = {"me": look.actor.id, "after_id": after and after[0], "rows": query["limit"] + 1}
    rows = _my_list(further=after is not None).all(look.db, values)
    page = pager.page(rows, lambda row: [row[-2]])
    items = [{"branch": _branch(row), "joined_at": row[-1]} for row in page.items]
    return Page(items, page.next_cursor)


_APPLICATION: Final[tuple[Any, ...]] = (
    EnclaveApplication.id, EnclaveApplication.branch_id, Org.name, EnclaveApplication.person_id, Person.name,
    Person.birth_on, Person.hometown_code, _Hometown.name, EnclaveApplication.state, EnclaveApplication.note,
    EnclaveApplication.reason, EnclaveApplication.created_at, EnclaveApplication.decided_at,
)  # fmt: skip


def _applications() -> Select[Any]:
    statement: Select[Any] = select(*_APPLICATION).join(
        EnclaveBranch, EnclaveBranch.id == EnclaveApplication.branch_id
    )
    statement = statement.join(Org, Org.id == EnclaveBranch.id)
    statement = statement.join(Person, Person.id == EnclaveApplication.person_id)
    return statement.outerjoin(_Hometown, _Hometown.code == Person.hometown_code)


def _application(row: Any, now: datetime) -> dict[str, Any]:
    (
        application_id, branch_id, branch, person_id, name, birth_on, hometown_code, hometown, state, note, reason,
        created_at, decided_at,
    ) = row  # fmt: skip
    return {
        "id": application_id,
        "branch": {"id": branch_id, "name": branch},
        "applicant": _person((person_id, name, birth_on, hometown_code, hometown), now),
        "state": state,
        "note": note,
        "reason": reason,
        "created_at": created_at,
        "decided_at": decided_at,
    }


def _person(columns: Any, now: datetime) -> dict[str, Any]:
    person_id, name, birth_on, hometown_code, hometown = columns
    return {
        "id": person_id,
        "name": name,
        "age": None if birth_on is None else age_on(birth_on, shanghai_day(now)),
        "hometown": None if hometown_code is None else {"code": hometown_code, "name": hometown},
    }


@cache
def _one_application() -> Prepared[Any]:
    application_id = bindparam("application_id", type_=Uuid())
    return Prepared(
        _applications().where(EnclaveApplication.id == application_id, visible_applications(LATER))
    )


def read_application(look: Context, application_id: UUID) -> dict[str, Any]:
    """Return one application. One statement.

    Raises:
        NoSuchEnclaveApplication: there is none that the caller may see.

    """
    values = {"application_id": application_id, "me": look.actor.id, "now": look.now}
    row = _one_application().one_or_none(look.db, values)
    if row is None:
        raise NoSuchEnclaveApplication
    return _application(row, look.now)


@cache
def _my_applications(*, further: bool) -> Prepared[Any]:
    statement = _applications().where(EnclaveApplication.person_id == LATER.actor.id)
    if further:
        statement = statement.where(EnclaveApplication.id < _AFTER_ID)
    return Prepared(statement.order_by(EnclaveApplication.id.desc()).limit(_ROWS))


def list_my_applications(look: Context, query: dict[str, Any]) -> Page:
    """Return the caller's applications, the newest first. One statement."""
    pager = Pager(look.settings, "my-enclave-applications", query)
    after = pager.after()
    values = {"me": look.actor.id, "after_id": after and after[0], "rows": query["limit"] + 1}
    rows = _my_applications(further=after is not None).all(look.db, values)
    return pager.page([_application(row, look.now) for row in rows], lambda item: [item["id"]])


@cache
def _branch_applications(*, of_state: bool, further: bool) -> Prepared[Any]:
    statement = _applications().where(EnclaveApplication.branch_id == _BRANCH_ID)
    if of_state:
        statement = statement.where(EnclaveApplication.state == bindparam("state"))
    if further:
        statement = statement.where(EnclaveApplication.id > _AFTER_ID)
    return Prepared(statement.order_by(EnclaveApplication.id).limit(_ROWS))


def list_applications(look: Context, branch_id: UUID, query: dict[str, Any]) -> Page:
    """Return the applications to a branch, the oldest first. Two statements.

    Raises:
        NoSuchEnclaveBranch, NotAllowed: not the caller's to decide.

    """
    require_decider(look, branch_id)
    pager = Pager(look.settings, f"enclave-applications/{branch_id}", query)
    after = pager.after()
    values = {
        "branch_id": branch_id,
        "state": query["state"],
        "after_id": after and after[0],
        "rows": query["limit"] + 1,
    }
    rows = _branch_applications(of_state=bool(query["state"]), further=after is not None).all(look.db, values)
    return pager.page([_application(row, look.now) for row in rows], lambda item: [item["id"]])


@cache
def _participants(*, further: bool) -> Prepared[Any]:
    columns: tuple[Any, ...] = (
        EnclaveParticipation.id, EnclaveParticipation.joined_at, Person.id, Person.name, Person.birth_on,
        Person.hometown_code, _Hometown.name,
    )  # fmt: skip
    statement: Select[Any] = (
        select(*columns)
        .join(Person, Person.id == EnclaveParticipation.person_id)
        .outerjoin(_Hometown, _Hometown.code == Person.hometown_code)
        .where(EnclaveParticipation.branch_id == _BRANCH_ID, EnclaveParticipation.left_at.is_(None))
    )
    if further:
        statement = statement.where(EnclaveParticipation.id > _AFTER_ID)
    return Prepared(statement.order_by(EnclaveParticipation.id).limit(_ROWS))


def list_participants(look: Context, branch_id: UUID, query: dict[str, Any]) -> Page:
    """Return who takes part in a branch, in the order of joining. Two statements.

    Raises:
        NoSuchEnclaveBranch, NotAllowed: not the caller's to look after.

    """
    require_decider(look, branch_id)
    pager = Pager(look.settings, f"enclave-participants/{branch_id}", query)
    after = pager.after()
    values = {"branch_id": branch_id, "after_id": after and after[0], "rows": query["limit"] + 1}
    rows = _participants(further=after is not None).all(look.db, values)
    page = pager.page(rows, lambda row: [row[0]])
    items = [{"person": _person(row[2:], look.now), "joined_at": row[1]} for row in page.items]
    return Page(items, page.next_cursor)
