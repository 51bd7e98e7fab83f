"""Two activities at the same time: refused, allowed, or allowed with a warning, as the second sets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from racing import at_once
from sqlalchemy import select

from engage.activities.models import Activity, ActivityStatus, SignUp, SignUpState
from engage.core.config import Overlap
from engage.orgs.models import Role

HOUR = timedelta(hours=1)


@pytest.fixture
def stage(frozen, make, as_user):
    """Activities of one organisation, from 14:00 to 16:00 the day after tomorrow unless said otherwise; one person."""

    class Stage:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)
        person = make.person()
        client = as_user(person.id)
        begin = frozen.now + timedelta(hours=52)

        def activity(self, overlap, begins=0.0, ends=2.0, **values):
            begin = self.begin
            return make.activity(
                self.org,
                overlap=overlap,
                starts_at=begin + begins * HOUR,
                ends_at=begin + ends * HOUR,
                **values,
            )

        def press(self, activity):
            return self.client.put(f"/v1/activities/{activity.id}/sign-up", json={})

        def add(self, activity):
            body = {"person_id": str(self.person.id)}
            return self.officer.post(f"/v1/activities/{activity.id}/sign-ups", json=body)

    return Stage()


def test_a_second_place_at_the_same_time_is_refused_where_that_is_set(stage):
    first, second = stage.activity(Overlap.ALLOW, title="团青有约"), stage.activity(Overlap.REFUSE)
    assert stage.press(first).json["state"] == "confirmed"
    for refused in (stage.press(second), stage.add(second)):
        assert (refused.status_code, refused.json["code"]) == (409, "overlaps")
        assert "团青有约" in refused.json["detail"]


def test_it_is_given_with_a_warning_where_that_is_set(stage):
    first, second = stage.activity(Overlap.ALLOW, title="团青有约"), stage.activity(Overlap.WARN)
    stage.press(first)
    warned = stage.press(second).json
    about = {"id": str(first.id), "name": "团青有约"}
    assert (warned["state"], warned["warnings"]) == ("confirmed", [{"code": "overlap", "activity": about}])
    assert stage.press(second).json["warnings"] == warned["warnings"], "a repetition says so too"


def test_whoever_reads_or_accepts_it_later_is_warned_too_and_so_are_staff_who_add(stage, make, frozen):
    first, second, third = (stage.activity(Overlap.WARN) for _ in range(3))
    warned = stage.press(stage.activity(Overlap.ALLOW, title="团青有约")).json
    assert warned["warnings"] == []
    about = lambda answer: [warning["activity"]["name"] for warning in answer.json["warnings"]]
    stage.press(first)
    assert about(stage.client.get(f"/v1/activities/{first.id}/sign-up")) == ["团青有约"]
    make.sign_up(
        second,
        stage.person,
        state=SignUpState.OFFERED,
        offered_at=frozen.now,
        offer_expires_at=frozen.now + HOUR,
    )
    accepted = stage.client.post(f"/v1/activities/{second.id}/sign-up/acceptance")
    assert accepted.json["state"] == "confirmed"
    assert len(about(accepted)) == 1
    added, again = stage.add(third), stage.add(third)
    assert len(about(added)) == len(about(again)) == 1


def test_and_without_a_word_where_anything_goes(stage):
    first, second = stage.activity(Overlap.REFUSE), stage.activity(Overlap.ALLOW)
    stage.press(first)
    allowed = stage.press(second).json
    assert (allowed["state"], allowed["warnings"]) == ("confirmed", [])


def test_staff_may_add_somebody_where_a_warning_is_all(stage):
    stage.press(stage.activity(Overlap.ALLOW))
    assert stage.add(stage.activity(Overlap.WARN)).json["state"] == "confirmed"


@pytest.mark.parametrize("overlap", [Overlap.WARN, Overlap.REFUSE])
@pytest.mark.parametrize(
    ("begins", "ends", "clashes"),
    [(-2, 0, False), (2, 4, False), (-1, 0.01, True), (1.99, 4, True), (0.5, 1, True), (-1, 3, True)],
)
def test_only_what_shares_time_overlaps(stage, overlap, begins, ends, clashes):
    stage.press(stage.activity(Overlap.ALLOW))
    answer = stage.press(stage.activity(overlap, begins, ends))
    if overlap is Overlap.REFUSE:
        assert answer.status_code == (409 if clashes else 200)
    else:
        assert bool(answer.json["warnings"]) == clashes


@pytest.mark.parametrize(
    ("state", "counts"),
    [("confirmed", True), ("offered", True), ("waitlisted", False), ("applied", False), ("cancelled", False)],
)
def test_only_a_place_is_in_the_way(stage, make, frozen, state, counts):
    expiry = {"offer_expires_at": frozen.now + HOUR} if state == "offered" else {}
    make.sign_up(stage.activity(Overlap.ALLOW), stage.person, state=SignUpState(state), **expiry)
    assert stage.press(stage.activity(Overlap.REFUSE)).status_code == (409 if counts else 200)
    assert bool(stage.press(stage.activity(Overlap.WARN)).json["warnings"]) is True, (
        "at least the one just given"
    )


def test_what_was_called_off_is_not_in_the_way(stage, database):
    first = stage.activity(Overlap.ALLOW)
    stage.press(first)
    with database.transaction() as session:
        session.get(Activity, first.id).status = ActivityStatus.CANCELLED
    assert stage.press(stage.activity(Overlap.REFUSE)).json["state"] == "confirmed"


def test_who_left_may_go_elsewhere(stage):
    first = stage.activity(Overlap.ALLOW)
    stage.press(first)
    stage.client.delete(f"/v1/activities/{first.id}/sign-up")
    assert stage.press(stage.activity(Overlap.REFUSE)).json["state"] == "confirmed"


def test_pressing_again_is_no_overlap_with_oneself(stage):
    activity = stage.activity(Overlap.REFUSE)
    first = stage.press(activity).json
    assert stage.press(activity).json["id"] == first["id"]


def test_it_follows_the_activity_to_another_time(stage, database):
    first = stage.activity(Overlap.ALLOW, -10, -8)
    stage.press(first)
    second = stage.activity(Overlap.REFUSE)
    with database.transaction() as session:
        moved = session.get(Activity, first.id)
        moved.starts_at, moved.ends_at = stage.begin, stage.begin + HOUR
    assert stage.press(second).json["code"] == "overlaps"


def test_pressing_two_at_once_gives_exactly_one(stage, make, as_user, database):
    """Two phones of one person, or two pages: each looks before the other has its place."""
    for _ in range(4):
        person = make.person()
        activities = [stage.activity(Overlap.REFUSE) for _ in range(3)]
        clients = [as_user(person.id) for _ in activities]
        answers = at_once(
            [
                lambda client=client, activity=activity: client.put(
                    f"/v1/activities/{activity.id}/sign-up", json={}
                )
                for client, activity in zip(clients, activities, strict=True)
            ]
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        assert {answer.json["code"] for answer in answers if answer.status_code == 409} == {"overlaps"}
        with database.reading() as db:
            assert len(db.scalars(select(SignUp.id).where(SignUp.person_id == person.id)).all()) == 1


def offered(stage, make, overlap):
    """An activity where a place is kept for the person."""
    activity = stage.activity(overlap)
    make.sign_up(
        activity,
        stage.person,
        state=SignUpState.OFFERED,
        offered_at=stage.begin - 50 * HOUR,
        offer_expires_at=stage.begin - 40 * HOUR,
    )
    return activity


def accept(stage, activity):
    return stage.client.post(f"/v1/activities/{activity.id}/sign-up/acceptance")


def test_an_offer_is_not_accepted_by_who_has_come_to_have_a_place_elsewhere(stage, make):
    activity = offered(stage, make, Overlap.REFUSE)
    elsewhere = stage.activity(Overlap.ALLOW, title="团青有约")
    stage.press(elsewhere)
    refused = accept(stage, activity)
    assert (refused.status_code, refused.json["code"]) == (409, "overlaps")
    assert "团青有约" in refused.json["detail"]
    stage.client.delete(f"/v1/activities/{elsewhere.id}/sign-up")
    assert accept(stage, activity).json["state"] == "confirmed"
    assert accept(stage, activity).status_code == 200


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.WARN])
def test_elsewhere_it_is(stage, make, overlap):
    activity = offered(stage, make, overlap)
    stage.press(stage.activity(Overlap.ALLOW))
    assert accept(stage, activity).json["state"] == "confirmed"


def test_of_two_offers_at_the_same_time_one_is_accepted(stage, make, as_user):
    activities = [offered(stage, make, Overlap.REFUSE) for _ in range(2)]
    clients = [as_user(stage.person.id) for _ in activities]
    answers = at_once(
        [
            lambda client=client, activity=activity: client.post(
                f"/v1/activities/{activity.id}/sign-up/acceptance"
            )
            for client, activity in zip(clients, activities, strict=True)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
