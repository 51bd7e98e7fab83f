"""Acting out the programme: the same use cases that the API calls, in the order in which they would have happened."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from engage.activities.errors import ActivityFull, AgeNotAllowed, CountyNotAllowed, MembersOnly, PoolFull
from engage.activities.models import CheckIn, Decision, ScanKind, SignUp, SignUpState
from engage.activities.schemas.activity import ActivityIn
from engage.activities.service import (
    by_staff,
    feedback,
    lifecycle,
    preview,
    projects,
    review,
    sign_up,
    uploads,
)
from engage.core import clock
from engage.core.db import Version
from engage.core.imports import data_rows
from engage.demo import draw
from engage.demo.people import CITY, MANAGED_HUB, NAMED, Resident
from engage.demo.programme import REVIEWED, Event, Story, programme
from engage.enclaves import service as enclaves
from engage.enclaves.models import EnclaveBranch
from engage.hubs.models import Hub
from engage.orgs.models import Org
from engage.regions.models import county_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from engage.demo.stage import Stage

_WRITTEN_BEFORE: Final = timedelta(days=2)
_YOUNGEST, _OLDEST = 14, 35
_PLACES_FOR_YOUTH: Final = ("youth_home", "hub_stay")
_LEAVE_PERCENT: Final = 8
_ATTEND_PERCENT: Final = 84
_EXCUSED_PERCENT: Final = 40
_HERE_BY_NOW_PERCENT: Final = 60
_RATE_PERCENT: Final = 55
_ARRIVALS: Final = (timedelta(minutes=-12), timedelta(minutes=-3), timedelta(minutes=8))
_EXCUSES: Final = ("单位临时加班，已来电说明", "孩子生病", "外地出差")
_PRAISE: Final = (
    (5, "组织得很好，下次还来。"),
    (5, "老师讲得清楚，收获很大。"),
    (4, "内容不错，时间再长一点就好了。"),
    (5, None),
    (4, "场地有点小，氛围很好。"),
    (3, "开始晚了十分钟。"),
    (4, None),
    (5, "认识了新朋友。"),
)

_DECIDED: Final = 9  # of the applications
_APPLY_PERCENT: Final = 80
_APPROVED_PERCENT: Final = 65

Scene = tuple[datetime, int, "Callable[[], None]"]


def add_projects(stage: Stage) -> dict[str, UUID]:
    """Create the projects of the city; return their ids by name."""
    city = stage.session.scalars(select(Org.id).where(Org.external_ref == f"division:{CITY}")).one()
    work = stage.work(stage.people["chief"], stage.now)
    unlimited = {"summary": None, "daily_limit": None, "weekly_limit": None}
    return {
        row["name"]: projects.create_project(work, {"name": row["name"], "org_id": city, **unlimited})["id"]
        for row in data_rows("demo/projects.csv")
    }


def add_activities(stage: Stage, project_ids: dict[str, UUID]) -> int:
    """Let the whole programme happen up to the present; return how many activities there are."""
    events = programme(stage.now)
    for event in events:
        act_out(stage, event, project_ids[event.project])
    return len(events)


def add_participants(stage: Stage) -> None:
    """Let people who live in a city where their county has a branch apply, and its officer decide on most."""
    rows = stage.session.execute(
        select(EnclaveBranch.home_county_code, EnclaveBranch.host_city_code, EnclaveBranch.id)
    )
    branches: dict[tuple[str | None, str], UUID] = {(home, host): branch_id for home, host, branch_id in rows}
    for resident in stage.people.values():
        branch_id = branches.get((county_of(resident.hometown_code), resident.current_code))
        if branch_id and resident.key not in NAMED and draw.chance(_APPLY_PERCENT, resident.key, "applies"):
            _join(stage, resident, branch_id)


def _join(stage: Stage, resident: Resident, branch_id: UUID) -> None:
    applied = stage.now - timedelta(days=3 + draw.below(90, resident.key, "applied"))
    application = enclaves.apply(
        stage.work(resident, applied), branch_id, "在外工作，想参加家乡的团组织生活。"
    )
    if draw.chance(_APPROVED_PERCENT, resident.key, "approved"):
        decided = stage.work(stage.people["officer"], applied + timedelta(days=2))
        enclaves.approve(decided, application["id"])


def act_out(stage: Stage, event: Event, project_id: UUID) -> UUID:
    """Let one activity happen up to the present: written, published, signed up for, attended, rated, summarised."""
    host = stage.people["manager" if event.hub else "chief"]
    written = stage.work(host, min(event.opens_at - _WRITTEN_BEFORE, stage.now))
    activity_id: UUID = lifecycle.create_activity(written, _body(stage, event, project_id))["id"]
    if event.story is Story.DRAFT:
        return activity_id
    lifecycle.publish(written, activity_id)
    for _, _, happen in sorted(_sign_ups(stage, event, activity_id), key=lambda scene: scene[:2]):
        happen()
    if event.title == REVIEWED:
        _decide(stage, activity_id, host)
    if event.story is Story.CANCELLED:
        yesterday = stage.work(host, stage.now - timedelta(days=1))
        seen = Version.named(preview.preview_cancellation(yesterday, activity_id)["preview"])
        lifecycle.cancel_activity(yesterday, activity_id, "场地临时检修，活动取消，敬请谅解。", seen)
    if event.is_over or event.story is Story.NOW:
        _attend(stage, event, activity_id, host)
    if event.is_over:
        _look_back(stage, event, activity_id, host)
    return activity_id


def _decide(stage: Stage, activity_id: UUID, host: Resident) -> None:
    """Accept the first who applied, by rank, and refuse the next; the others wait for a decision."""
    first = stage.session.scalars(
        select(SignUp.id)
        .where(SignUp.activity_id == activity_id, SignUp.state == SignUpState.APPLIED)
        .order_by(SignUp.seq)
        .limit(_DECIDED)
    ).all()
    items: list[dict[str, Any]] = [
        {"sign_up_id": sign_up_id, "decision": Decision.ACCEPT, "rank": rank, "reason": None}
        for rank, sign_up_id in enumerate(first[:-1], 1)
    ]
    refused = {"decision": Decision.REFUSE, "rank": None, "reason": "本期面向在职青年，欢迎报名下一期。"}
    items += [{"sign_up_id": sign_up_id, **refused} for sign_up_id in first[-1:]]
    if items:
        review.decide(stage.work(host, stage.now), activity_id, items)


def _body(stage: Stage, event: Event, project_id: UUID) -> dict[str, Any]:
    hub_id = None if event.place else _hub(stage, event)
    sent = {
        "title": event.title,
        "summary": f"{event.summary}\n（演示数据，活动为虚构）",
        "project_id": str(project_id),
        "hub_id": hub_id and str(hub_id),
        "org_id": None if hub_id else str(_committee(stage, event.county_code)),
        "place_name": event.place or None,
        "county_code": event.county_code,
        "starts_at": event.starts_at.astimezone(clock.SHANGHAI).isoformat(),
        "ends_at": event.ends_at.astimezone(clock.SHANGHAI).isoformat(),
        "sign_up_opens_at": event.opens_at.astimezone(clock.SHANGHAI).isoformat(),
        "sign_up_closes_at": event.closes_at.astimezone(clock.SHANGHAI).isoformat(),
        **event.wishes,
    }
    body: dict[str, Any] = ActivityIn().load(sent)
    return body


def _hub(stage: Stage, event: Event) -> UUID:
    if event.hub:
        return stage.session.scalars(select(Hub.id).where(Hub.external_ref == MANAGED_HUB)).one()
    hubs = stage.session.execute(
        select(Hub.external_ref, Hub.id)
        .where(
            Hub.county_code == event.county_code, Hub.kind_code.in_(_PLACES_FOR_YOUTH), Hub.lat.is_not(None)
        )
        .order_by(Hub.external_ref)
    ).all()
    chosen: UUID = draw.pick(hubs, event.title, "hub")[1]
    return chosen


def _committee(stage: Stage, county_code: str) -> UUID:
    return stage.session.scalars(select(Org.id).where(Org.external_ref == f"division:{county_code}")).one()


def _sign_ups(stage: Stage, event: Event, activity_id: UUID) -> Iterator[Scene]:
    """Yield who signs up and who leaves again, and when; a second number keeps the order of equal times."""
    until = min(event.closes_at, stage.now - timedelta(minutes=2), event.starts_at)
    if until <= event.opens_at:
        return
    span = until - event.opens_at

    def at(*key: object) -> datetime:
        return event.opens_at + span * (1 + draw.below(990, event.title, *key)) / 1000

    for number, resident in enumerate(_audience(stage, event)[: event.sign_ups]):
        entered = at(resident.key, "enters")
        yield entered, number, _enter(stage, event, activity_id, resident, entered)
        if draw.chance(_LEAVE_PERCENT, event.title, resident.key, "leaves"):
            left = entered + (until - entered) / 2
            yield left, number, _leave(stage, activity_id, resident, left)
    if event.youth:
        youth = stage.people["youth"]
        entered = until if event.youth == "last" else event.opens_at
        yield entered, -1, _enter(stage, event, activity_id, youth, entered)


def _enter(stage: Stage, event: Event, activity_id: UUID, who: Resident, at: datetime) -> Callable[[], None]:
    def happen() -> None:
        try:
            sign_up.sign_up(stage.look(who, at), activity_id, _answers(event, who))
        except (ActivityFull, AgeNotAllowed, CountyNotAllowed, MembersOnly, PoolFull):
            return  # turned away, as by the API

    return happen


def _leave(stage: Stage, activity_id: UUID, who: Resident, at: datetime) -> Callable[[], None]:
    return lambda: sign_up.leave(stage.work(who, at), activity_id)


def _audience(stage: Stage, event: Event) -> list[Resident]:
    """Return who might come, neighbours first; the people of the tour sign up in it or when told so."""
    day = clock.shanghai_day(event.starts_at)
    able = [
        resident
        for resident in stage.people.values()
        if resident.key not in NAMED
        and _YOUNGEST <= clock.age_on(resident.birth_on, day) <= _OLDEST
        and (
            resident.is_member if event.wishes["members_only"] else resident.current_code.startswith(CITY[:4])
        )
    ]
    by_chance = draw.shuffled(able, lambda resident: resident.key, event.title)
    return sorted(by_chance, key=lambda resident: county_of(resident.current_code) != event.county_code)


def _answers(event: Event, who: Resident) -> list[dict[str, Any]]:
    given = []
    for number, question in enumerate(event.wishes["questions"], 1):
        key = (event.title, who.key, number)
        if question["kind"] == "choice":
            given.append({"question_id": f"q{number}", "value": draw.pick(question["choices"], *key)})
        elif question["kind"] == "multiple_choice":
            given.append({"question_id": f"q{number}", "value": [draw.pick(question["choices"], *key)]})
        elif question["kind"] == "number":
            given.append({"question_id": f"q{number}", "value": draw.below(6, *key)})
    return given


def _attend(stage: Stage, event: Event, activity_id: UUID, host: Resident) -> None:
    """Check people in at the door, in the order in which they arrive."""
    people = {resident.id: resident for resident in stage.people.values()}
    confirmed = stage.session.scalars(
        select(SignUp.person_id)
        .where(SignUp.activity_id == activity_id, SignUp.state == SignUpState.CONFIRMED)
        .order_by(SignUp.seq)
    ).all()
    percent = _HERE_BY_NOW_PERCENT if event.story is Story.NOW else _ATTEND_PERCENT
    here = [people[person_id] for person_id in confirmed if _comes(event, people[person_id], percent)]
    for number, shift in enumerate(_ARRIVALS):
        arrived = event.starts_at + shift
        items = [
            {
                "person_id": resident.id,
                "scanned_at": arrived,
                "kind": ScanKind.IN,
                "walk_in": False,
                "code": None,
            }
            for resident in here
            if draw.below(len(_ARRIVALS), event.title, resident.key, "arrives") == number
        ]
        if items and arrived < stage.now:
            uploads.upload(stage.work(host, arrived), activity_id, items)


def _comes(event: Event, who: Resident, percent: int) -> bool:
    if who.key == "youth":
        return event.youth == "attended"
    return draw.chance(percent, event.title, who.key, "comes")


def _look_back(stage: Stage, event: Event, activity_id: UUID, host: Resident) -> None:
    """Note excuses, let people rate, write the summary."""
    people = {resident.id: resident for resident in stage.people.values()}
    rows = stage.session.execute(
        select(SignUp.id, SignUp.person_id, CheckIn.sign_up_id.is_not(None))
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .where(SignUp.activity_id == activity_id, SignUp.state == SignUpState.CONFIRMED)
        .order_by(SignUp.seq)
    ).all()
    later = min(event.ends_at + timedelta(hours=2), stage.now)
    for sign_up_id, person_id, was_there in rows:
        key = (event.title, people[person_id].key)
        if was_there and draw.chance(_RATE_PERCENT, *key, "rates"):
            stars, words = draw.pick(_PRAISE, *key, "stars")
            feedback.give_feedback(stage.work(people[person_id], later), activity_id, stars, words)
        elif not was_there and draw.chance(_EXCUSED_PERCENT, *key, "excused"):
            by_staff.excuse(stage.work(host, later), activity_id, sign_up_id, draw.pick(_EXCUSES, *key))
    if event.story is Story.PAST:
        there = sum(was_there for _, _, was_there in rows)
        words = f"报名成功 {len(rows)} 人，到场 {there} 人。{event.summary}活动顺利结束。"
        lifecycle.summarise(stage.work(host, event.ends_at + timedelta(days=1)), activity_id, words)
