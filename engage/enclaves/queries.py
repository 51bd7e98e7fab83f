"""Lists and details of enclave branches, applications and participants: rows of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Select, and_, func, null, or_, select
from sqlalchemy.orm import aliased

from engage.core.clock import age_on, shanghai_day
from engage.core.paging import Page, Pager, beyond
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
from engage.orgs.models import Org
from engage.regions.geo import Point, box_around, distance_m, position_of
from engage.regions.models import Division
from engage.regions.queries import within

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


def _branches(*more: Any) -> Select[Any]:
    columns: tuple[Any, ...] = (*_BRANCH, *more)
    statement: Select[Any] = select(*columns).select_from(EnclaveBranch).join(Org, Org.id == EnclaveBranch.id)
    statement = statement.join(_Home, _Home.code == EnclaveBranch.home_county_code)
    return statement.join(_Host, _Host.code == EnclaveBranch.host_city_code)


def _branch(row: Any, distance: float | None = None) -> dict[str, Any]:
    branch_id, name, home_code, home, host_code, host, host_org, address, lat, lng, status = row[
        : len(_BRANCH)
    ]
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


def list_branches(look: Context, query: dict[str, Any]) -> Page:
    """Return branches by home county and name, or by distance when ``near`` is given. One statement."""
    pager = Pager(look.settings, "enclave-branches", query)
    statement = _branches().where(visible_branches(look))
    if query["home_county"]:
        statement = statement.where(EnclaveBranch.home_county_code == query["home_county"])
    if query["host_city"]:
        statement = statement.where(EnclaveBranch.host_city_code == query["host_city"])
    after = pager.after()
    if query["near"] is not None:
        items = _around(look, statement, query["near"], query["radius_m"])
        if after:
            items = [item for item in items if _near_key(item) > (after[0], after[1].bytes)]
        return pager.page(items, lambda item: [item["distance_m"], item["id"]])
    order = [EnclaveBranch.home_county_code, Org.name, EnclaveBranch.id]
    if after:
        statement = statement.where(beyond(order, after))
    rows = look.db.execute(statement.order_by(*order).limit(query["limit"] + 1)).all()
    return pager.page(
        [_branch(row) for row in rows], lambda item: [item["home_county"]["code"], item["name"], item["id"]]
    )


def _around(look: Context, statement: Select[Any], near: Point, radius_m: float) -> list[dict[str, Any]]:
    box = within(box_around(near, radius_m), EnclaveBranch.lat, EnclaveBranch.lng)
    rows = look.db.execute(statement.where(box)).all()
    measured = [(distance_m(near, Point(row[_LAT], row[_LNG])), row) for row in rows]
    return sorted((_branch(row, metres) for metres, row in measured if metres <= radius_m), key=_near_key)


def _near_key(item: dict[str, Any]) -> tuple[int, bytes]:
    return item["distance_m"], item["id"].bytes


def read_branch(look: Context, branch_id: UUID) -> dict[str, Any]:
    """Return one branch, with what the caller has to do with it. One statement.

    Raises:
        NoSuchEnclaveBranch: there is none that the caller may see.

    """
    known = look.actor.id is not None
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
    statement = _branches(*details, participants, decidable(look), *mine)
    if known:
        statement = _with_mine(statement, look.actor.id)
    row = look.db.execute(
        statement.where(EnclaveBranch.id == branch_id, visible_branches(look))
    ).one_or_none()
    if row is None:
        raise NoSuchEnclaveBranch
    description, contact_phone, updated_at, version, count, can_decide, *application, participation = row[
        len(_BRANCH) :
    ]
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


def _with_mine(statement: Select[Any], person_id: UUID) -> Select[Any]:
    """Join the caller's newest application to each branch, and their participation while it lasts."""
    newest = (
        select(EnclaveApplication.id)
        .where(EnclaveApplication.branch_id == EnclaveBranch.id, EnclaveApplication.person_id == person_id)
        .order_by(EnclaveApplication.id.desc())
        .limit(1)
        .correlate(EnclaveBranch)
        .scalar_subquery()
    )
    lasting = and_(
        EnclaveParticipation.branch_id == EnclaveBranch.id,
        EnclaveParticipation.person_id == person_id,
        EnclaveParticipation.left_at.is_(None),
    )
    return statement.outerjoin(_My, _My.id == newest).outerjoin(EnclaveParticipation, lasting)


def _my_application(columns: list[Any]) -> dict[str, Any] | None:
    application_id, state, reason, created_at = columns
    if application_id is None:
        return None
    return {"id": application_id, "state": state, "reason": reason, "created_at": created_at}


def my_branch_for_home(look: Context) -> dict[str, Any] | None:
    """Return the branch that a member joined last, else the one they have applied to, else None. One statement.

    Returns:
        A branch as in lists, with ``joined_at`` (None while the application is open).

    """
    statement = _with_mine(_branches(EnclaveParticipation.joined_at), look.actor.id).where(
        is_open(), or_(EnclaveParticipation.id.is_not(None), _My.state == ApplicationState.SUBMITTED)
    )
    newest_first = (EnclaveParticipation.id.is_(None), EnclaveParticipation.joined_at.desc(), _My.id.desc())
    row = look.db.execute(statement.order_by(*newest_first).limit(1)).one_or_none()
    return None if row is None else {**_branch(row), "joined_at": row[-1]}


def list_my_branches(look: Context, query: dict[str, Any]) -> Page:
    """Return the branches that the caller takes part in, the newest first. One statement."""
    pager = Pager(look.settings, "my-enclave-branches", query)
    statement = (
        _branches(EnclaveParticipation.id, EnclaveParticipation.joined_at)
        .join(EnclaveParticipation, EnclaveParticipation.branch_id == EnclaveBranch.id)
        .where(EnclaveParticipation.person_id == look.actor.id, EnclaveParticipation.left_at.is_(None))
    )
    after = pager.after()
    if after:
        statement = statement.where(beyond([EnclaveParticipation.id], after, descending=True))
    rows = look.db.execute(statement.order_by(EnclaveParticipation.id.desc()).limit(query["limit"] + 1)).all()
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


def read_application(look: Context, application_id: UUID) -> dict[str, Any]:
    """Return one application. One statement.

    Raises:
        NoSuchEnclaveApplication: there is none that the caller may see.

    """
    statement = _applications().where(EnclaveApplication.id == application_id, visible_applications(look))
    row = look.db.execute(statement).one_or_none()
    if row is None:
        raise NoSuchEnclaveApplication
    return _application(row, look.now)


def list_my_applications(look: Context, query: dict[str, Any]) -> Page:
    """Return the caller's applications, the newest first. One statement."""
    pager = Pager(look.settings, "my-enclave-applications", query)
    statement = _applications().where(EnclaveApplication.person_id == look.actor.id)
    after = pager.after()
    if after:
        statement = statement.where(beyond([EnclaveApplication.id], after, descending=True))
    rows = look.db.execute(statement.order_by(EnclaveApplication.id.desc()).limit(query["limit"] + 1)).all()
    return pager.page([_application(row, look.now) for row in rows], lambda item: [item["id"]])


def list_applications(look: Context, branch_id: UUID, query: dict[str, Any]) -> Page:
    """Return the applications to a branch, the oldest first. Two statements.

    Raises:
        NoSuchEnclaveBranch, NotAllowed: not the caller's to decide.

    """
    require_decider(look, branch_id)
    pager = Pager(look.settings, f"enclave-applications/{branch_id}", query)
    statement = _applications().where(EnclaveApplication.branch_id == branch_id)
    if query["state"]:
        statement = statement.where(EnclaveApplication.state == query["state"])
    after = pager.after()
    if after:
        statement = statement.where(beyond([EnclaveApplication.id], after))
    rows = look.db.execute(statement.order_by(EnclaveApplication.id).limit(query["limit"] + 1)).all()
    return pager.page([_application(row, look.now) for row in rows], lambda item: [item["id"]])


def list_participants(look: Context, branch_id: UUID, query: dict[str, Any]) -> Page:
    """Return who takes part in a branch, in the order of joining. Two statements.

    Raises:
        NoSuchEnclaveBranch, NotAllowed: not the caller's to look after.

    """
    require_decider(look, branch_id)
    pager = Pager(look.settings, f"enclave-participants/{branch_id}", query)
    columns: tuple[Any, ...] = (
        EnclaveParticipation.id, EnclaveParticipation.joined_at, Person.id, Person.name, Person.birth_on,
        Person.hometown_code, _Hometown.name,
    )  # fmt: skip
    statement: Select[Any] = (
        select(*columns)
        .join(Person, Person.id == EnclaveParticipation.person_id)
        .outerjoin(_Hometown, _Hometown.code == Person.hometown_code)
        .where(EnclaveParticipation.branch_id == branch_id, EnclaveParticipation.left_at.is_(None))
    )
    after = pager.after()
    if after:
        statement = statement.where(beyond([EnclaveParticipation.id], after))
    rows = look.db.execute(statement.order_by(EnclaveParticipation.id).limit(query["limit"] + 1)).all()
    page = pager.page(rows, lambda row: [row[0]])
    items = [{"person": _person(row[2:], look.now), "joined_at": row[1]} for row in page.items]
    return Page(items, page.next_cursor)
