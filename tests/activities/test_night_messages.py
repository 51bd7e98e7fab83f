"""What happened at night is told in the morning, if it is still so by then."""

from __future__ import annotations

from datetime import timedelta

import previews
import pytest
from counting import count_statements

from engage.activities.models import AdmissionMode
from engage.messages.service import deliver_due
from engage.orgs.models import Role

HOUR = timedelta(hours=1)


@pytest.fixture
def night(frozen, make, as_user, database):
    """23:00; activities with one place, in ten days unless said otherwise, and people who sign up in turn."""
    frozen.move(hours=13)

    class Night:
        org = make.org()
        officer = as_user(make.staff(Role.OFFICER, org=org).id)

        def activity(self, begins=240, **values):
            starts_at = frozen.now + begins * HOUR
            times = {"starts_at": starts_at, "ends_at": starts_at + 2 * HOUR, "sign_up_closes_at": starts_at}
            return make.activity(self.org, **{"capacity": 1, **times, **values})

        def people(self, activity, count=2):
            clients = [as_user(make.person().id) for _ in range(count)]
            for client in clients:
                assert client.put(url(activity), json={}).status_code == 200
            return clients

        def offering(self):
            starts_at = frozen.now + 14 * HOUR
            return self.activity(14, offers_from_at=frozen.now, queue_closes_at=starts_at - HOUR)

        def decide(self, activity, client, decision, **more):
            sign_up_id = client.get(url(activity)).json["id"]
            item = {"sign_up_id": sign_up_id, "decision": decision, **more}
            answer = self.officer.post(f"/v1/activities/{activity.id}/decisions", json={"items": [item]})
            assert answer.status_code == 200, answer.json

        def told(self, client):
            """Let the morning come; return the kinds of messages in the order they arrived."""
            deliver_due(database)
            frozen.set(frozen.now.replace(hour=8) + timedelta(days=frozen.now.hour > 8))
            while deliver_due(database):
                pass
            return [(one["kind"], one["text"]) for one in client.get("/v1/me/messages").json["items"]][::-1]

        def kinds(self, client):
            return [kind for kind, _ in self.told(client)]

    return Night()


def url(activity):
    return f"/v1/activities/{activity.id}/sign-up"


def test_who_was_promoted_at_night_hears_of_it_in_the_morning(night):
    activity = night.activity()
    first, second = night.people(activity)
    first.delete(url(activity))
    assert night.kinds(second) == ["sign_up_promoted"]


def test_not_if_the_activity_was_called_off_before(night):
    activity = night.activity()
    first, second = night.people(activity)
    first.delete(url(activity))
    previews.cancel(night.officer, f"/v1/activities/{activity.id}")
    assert night.kinds(second) == ["activity_cancelled"]


def test_but_if_it_takes_place_after_all(night):
    activity = night.activity()
    first, second = night.people(activity)
    first.delete(url(activity))
    previews.cancel(night.officer, f"/v1/activities/{activity.id}")
    night.officer.post(f"/v1/activities/{activity.id}/reopening", json={"reason": "场地恢复"})
    assert night.kinds(second) == ["activity_cancelled", "activity_reopened", "sign_up_promoted"]


def test_nor_if_they_left_before(night):
    activity = night.activity()
    first, second = night.people(activity)
    for client in (first, second):
        client.delete(url(activity))
    assert night.kinds(second) == []


def test_an_offer_that_was_accepted_at_night_is_not_made_in_the_morning(night, frozen):
    activity = night.offering()
    first, second, third = night.people(activity, 3)
    frozen.move(minutes=1)
    first.delete(url(activity))
    assert second.post(f"{url(activity)}/acceptance").json["state"] == "confirmed"
    second.delete(url(activity))
    assert night.kinds(second) == []
    assert night.kinds(third) == ["place_offered"]


def test_a_message_says_what_is_so_in_the_morning(night, frozen):
    activity = night.activity()
    first, second = night.people(activity)
    first.delete(url(activity))
    frozen.move(minutes=1)
    place = f"/v1/activities/{activity.id}"
    later = {
        "starts_at": activity.starts_at + HOUR,
        "ends_at": activity.ends_at + HOUR,
    }
    body = previews.as_sent(night.officer, place, title="青年夜跑", **{name: at.isoformat() for name, at in later.items()})  # fmt: skip
    assert previews.edit(night.officer, place, body).status_code == 200
    told = dict(night.told(second))
    assert list(told) == ["activity_changed", "sign_up_promoted"]
    assert "青年夜跑" in told["sign_up_promoted"]
    assert "10月12日00:00" in told["sign_up_promoted"]


def test_what_was_lost_and_won_again_is_told_once(night, frozen):
    activity = night.activity(capacity=2)
    place = f"/v1/activities/{activity.id}"
    first, second, third = night.people(activity, 3)
    first.delete(url(activity))
    frozen.move(minutes=1)
    fewer = previews.as_sent(night.officer, place, capacity=1)
    assert previews.edit(night.officer, place, fewer).status_code == 200
    frozen.move(minutes=1)
    second.delete(url(activity))
    assert night.kinds(third) == ["place_withdrawn", "sign_up_promoted"]


def test_of_several_decisions_at_night_the_last_is_told(night, frozen):
    activity = night.activity(admission_mode=AdmissionMode.REVIEW)
    first, second = night.people(activity)
    night.decide(activity, first, "accept")
    night.decide(activity, second, "refuse", reason="名额有限")
    frozen.move(minutes=1)
    night.decide(activity, second, "accept")
    frozen.move(minutes=1)
    first.delete(url(activity))
    assert night.kinds(second) == ["sign_up_promoted"]
    assert night.kinds(first) == []


def test_whoever_was_refused_hears_of_it_although_it_was_called_off(night):
    activity = night.activity(admission_mode=AdmissionMode.REVIEW)
    (client,) = night.people(activity, 1)
    night.decide(activity, client, "refuse", reason="名额有限")
    previews.cancel(night.officer, f"/v1/activities/{activity.id}")
    assert night.kinds(client) == ["application_refused"]


def test_what_waited_is_looked_at_in_one_statement_whatever_it_is_about(app, night, database, frozen):
    def delivering(count):
        for _ in range(count):
            activity = night.activity()
            first, _ = night.people(activity)
            first.delete(url(activity))
        frozen.set(frozen.now.replace(hour=8) + timedelta(days=1))
        with count_statements(app) as sent:
            assert deliver_due(database) == count
        frozen.move(hours=15)
        return len(sent)

    assert delivering(3) - delivering(1) == 2, "one for each message"
