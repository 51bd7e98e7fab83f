"""Terms that do not fit together, and changes of them that come too late."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bodies import activity_body

from engage.orgs.models import Role


@pytest.fixture
def desk(frozen, make, as_user):
    """An officer who writes activities."""

    class Desk:
        org = make.org()
        project = make.project(org)
        officer = as_user(make.staff(Role.OFFICER, org=org).id)

        def body(self, **values):
            return activity_body(self.project, frozen.now, **values)

        def refused(self, **values):
            answer = self.officer.post("/v1/activities", json=self.body(**values))
            assert answer.status_code == 422
            return [(issue["pointer"], issue["code"]) for issue in answer.json["errors"]]

    return Desk()


def test_the_queue_does_not_close_before_offers_begin(desk):
    waitlist = {"offer_window_minutes": 30, "closes_minutes": 60}
    assert desk.refused(waitlist=waitlist) == [("/waitlist/closes_minutes", "too_large")]


def test_pools_are_one_by_the_end(desk, frozen):
    pools = [{"name": "全部", "audience": "everybody", "capacity": 2}]
    late = (frozen.now + timedelta(days=4)).isoformat()
    found = desk.refused(admission={"pools": pools, "pools_merge_at": late})
    assert found == [("/admission/pools_merge_at", "bad_order")]


def test_the_city_says_what_an_activity_leaves_out(desk):
    made = desk.officer.post("/v1/activities", json=desk.body()).json
    assert made["waitlist"] == {
        "offer_window_minutes": 1440,
        "offer_minutes": 120,
        "closes_minutes": 60,
        "quiet_from": "22:00",
        "quiet_until": "08:00",
    }
    assert (made["admission"]["mode"], made["admission"]["overlap"]) == ("first_come", "warn")


def test_the_way_places_are_given_stands_still_once_somebody_is_in(desk, make, as_user):
    made = desk.officer.post("/v1/activities", json=desk.body())
    url = made.headers["Location"]
    desk.officer.post(f"{url}/publication")
    as_user(make.person().id).put(f"{url}/sign-up", json={})
    answer = desk.officer.put(url, json=desk.body(admission={"mode": "review"}), headers={"If-Match": "*"})
    assert (answer.status_code, answer.json["code"]) == (409, "admission_frozen")


def test_a_lottery_whose_draw_was_never_prepared_becomes_first_come(desk, make):
    activity = make.activity(desk.org, admission_mode="lottery")
    url = f"/v1/activities/{activity.id}"
    answer = desk.officer.put(url, json=desk.body(), headers={"If-Match": "*"})
    assert (answer.status_code, answer.json["admission"]["mode"]) == (200, "first_come")


QUESTION = {"kind": "text", "label": "特长"}


def test_who_was_refused_keeps_questions_and_terms_as_they_were(desk, make, as_user):
    review = {"mode": "review"}
    made = desk.officer.post("/v1/activities", json=desk.body(admission=review))
    url = made.headers["Location"]
    desk.officer.post(f"{url}/publication")
    sign_up = as_user(make.person().id).put(f"{url}/sign-up", json={}).json
    refused = {"sign_up_id": sign_up["id"], "decision": "refuse", "reason": "材料不全"}
    assert desk.officer.post(f"{url}/decisions", json={"items": [refused]}).status_code == 200

    def code(**changes):
        sent = desk.body(**{"admission": review, **changes})
        return desk.officer.put(url, json=sent, headers={"If-Match": "*"}).json.get("code")

    pool = {"name": "全部", "audience": "everybody", "capacity": 2}
    assert code(questions=[QUESTION]) == "questions_frozen"
    assert code(admission=None) == "admission_frozen"
    assert code(admission={**review, "pools": [pool]}) == "admission_frozen"
    assert code(title="青年夜校二期") is None


def test_whether_a_pool_takes_overflow_stays_while_somebody_is_in_not_its_order(desk, make, as_user):
    everybody = {"name": "公开", "audience": "everybody", "capacity": 1}
    members = {"name": "团员", "audience": "members", "capacity": 1}

    def terms(first, second):
        return {"pools": [{**everybody, "overflow_rank": first}, {**members, "overflow_rank": second}]}

    made = desk.officer.post("/v1/activities", json=desk.body(admission=terms(None, None)))
    url = made.headers["Location"]

    def edit(*ranks):
        body = desk.body(admission=terms(*ranks))
        answer = desk.officer.put(url, json=body, headers={"If-Match": "*"})
        pools = answer.json.get("admission", {}).get("pools", [])
        return answer.json.get("code") or [pool["overflow_rank"] for pool in pools]

    assert edit(1, 2) == [1, 2], "nobody is in"
    desk.officer.post(f"{url}/publication")
    as_user(make.person().id).put(f"{url}/sign-up", json={})
    assert edit(1, None) == edit(None, 2) == "admission_frozen"
    assert edit(2, 1) == [2, 1]
