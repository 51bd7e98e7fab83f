"""What is said to somebody who waits: where they stood and stand, and how such queues have moved before."""

from __future__ import annotations

from datetime import timedelta

import previews
import pytest
from counting import count_statements

from engage.activities.models import ActivityStatus, AdmissionMode, SignUpState
from engage.orgs.models import Role


@pytest.fixture
def evening(frozen, make, as_user):
    """An activity of one place, and four who pressed: the last three wait at 1, 2 and 3."""

    class Evening:
        project = make.project()
        activity = make.activity(project_id=project.id, capacity=1, waitlist_capacity=9)
        url = f"/v1/activities/{activity.id}/sign-up"
        people = [make.person() for _ in range(4)]

        def mine(self, number):
            return as_user(self.people[number].id).get(self.url).json

        def past(self, days_ago, *queue, **values):
            """An activity that is over; ``queue`` says of each who queued whether they got a place."""
            ended = frozen.now - timedelta(days=days_ago)
            activity = make.activity(**{"project_id": self.project.id, "starts_at": ended - timedelta(hours=2), "ends_at": ended, "sign_up_closes_at": ended, "sign_up_opens_at": ended - timedelta(days=5), "status": ActivityStatus.SUMMARISED, **values})  # fmt: skip
            make.sign_up(activity)
            for position, promoted in enumerate(queue, 1):
                make.sign_up(
                    activity,
                    state=SignUpState.CONFIRMED if promoted else SignUpState.CANCELLED,
                    joined_position=position,
                    promoted_at=ended if promoted else None,
                )
            return activity

    found = Evening()
    for person in found.people:
        as_user(person.id).put(found.url, json={})
    return found


def test_the_position_on_joining_stays_beside_how_it_has_moved(evening, as_user):
    assert [evening.mine(number)["joined_position"] for number in range(4)] == [None, 1, 2, 3]
    as_user(evening.people[1].id).delete(evening.url)
    assert (evening.mine(3)["joined_position"], evening.mine(3)["position"]) == (3, 2)
    as_user(evening.people[1].id).put(evening.url, json={})
    again = evening.mine(1)
    assert (again["joined_position"], again["position"]) == (3, 3)


def test_nothing_is_said_from_fewer_than_three(evening):
    assert evening.mine(1)["estimate"] is None
    evening.past(1, True)
    evening.past(2, True)
    evening.past(3)  # without a queue
    assert evening.mine(1)["estimate"] is None


def test_it_counts_where_somebody_this_far_back_got_a_place(evening):
    evening.past(1, True, True, False)
    evening.past(2, False)
    evening.past(3, False, True, True)  # the head had left: whoever stood behind got in
    evening.past(4, True)
    assert [evening.mine(number)["estimate"] for number in (1, 2, 3)] == [
        {"of": 4, "promoted_through": 3},
        {"of": 4, "promoted_through": 2},
        {"of": 4, "promoted_through": 1},
    ]


def test_only_what_is_over_and_of_the_project_counts(evening, make, frozen):
    for days in (1, 2, 3):
        evening.past(days, False)
    evening.past(1, True, project_id=make.project().id)
    evening.past(1, True, status=ActivityStatus.CANCELLED)
    evening.past(-1, True)
    assert evening.mine(1)["estimate"] == {"of": 3, "promoted_through": 0}


def test_the_last_twenty_count(evening):
    for days in range(1, 22):
        evening.past(days, days > 20)
    assert evening.mine(1)["estimate"] == {"of": 20, "promoted_through": 0}


def test_who_does_not_wait_is_told_nothing(evening, as_user):
    for days in (1, 2, 3):
        evening.past(days, True)
    assert evening.mine(0)["estimate"] is None


def test_it_takes_one_statement_more_for_who_waits(evening, app, as_user):
    def count(number):
        client = as_user(evening.people[number].id)
        with count_statements(app) as sent:
            client.get(evening.url)
        return len(sent)

    assert (count(0), count(1)) == (2, 3)
    for days in range(1, 6):
        evening.past(days, True, True)
    assert count(1) == 3


def test_who_came_into_the_queue_by_a_rank_has_a_position_that_moves_too(make, as_user, frozen):
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    activity = make.activity(org, admission_mode=AdmissionMode.REVIEW, capacity=1)
    url = f"/v1/activities/{activity.id}"
    clients = [as_user(make.person().id) for _ in range(3)]
    ids = [client.put(f"{url}/sign-up", json={}).json["id"] for client in clients]
    items = [{"sign_up_id": one, "decision": "accept", "rank": rank} for rank, one in enumerate(ids, 1)]
    officer.post(f"{url}/decisions", json={"items": items})
    clients[0].delete(f"{url}/sign-up")
    mine = clients[2].get(f"{url}/sign-up").json
    assert (mine["joined_position"], mine["position"]) == (2, 1)
    assert clients[1].get(f"{url}/sign-up").json["joined_position"] == 1


def test_who_lost_a_place_to_a_cut_has_a_position_that_moves_too(make, as_user, frozen):
    org = make.org()
    officer = as_user(make.staff(Role.OFFICER, org=org).id)
    activity = make.activity(org, capacity=3)
    url = f"/v1/activities/{activity.id}"
    clients = [as_user(make.person().id) for _ in range(4)]
    for client in clients:
        client.put(f"{url}/sign-up", json={})
    previews.edit(officer, url, previews.as_sent(officer, url, capacity=1))
    at = lambda client: tuple(
        client.get(f"{url}/sign-up").json[name] for name in ("joined_position", "position")
    )
    assert [at(client) for client in clients[1:]] == [(1, 1), (2, 2), (1, 3)]
    clients[1].delete(f"{url}/sign-up")
    assert at(clients[2]) == (2, 1)
