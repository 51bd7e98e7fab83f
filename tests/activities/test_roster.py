"""The roster that a phone takes to a door without signal."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from counting import count_statements
from itsdangerous import URLSafeSerializer
from sqlalchemy import select, update

from engage.activities.models import Activity, ActivityStatus, Audience, Pool, SignUp, SignUpState
from engage.core import ids
from engage.core.audit import AuditEntry
from engage.identity.models import Person
from engage.orgs.models import Role


def read(client, door, **query):
    answer = client.get(f"{door.url}/roster", query_string=query)
    assert answer.status_code == 200, answer.json
    return answer.json


def upload(client, door, signature):
    items = [{"person_id": str(door.person.id), "scanned_at": door.activity.starts_at.isoformat()}]
    return client.post(f"{door.url}/check-ins", json={"items": items, "roster_signature": signature})


def test_a_roster_tells_all_that_a_phone_needs(door, frozen, make, as_user):
    waiting = make.person(name="郭静")
    make.sign_up(door.activity)
    as_user(waiting.id).put(f"{door.url}/sign-up", json={})
    make.sign_up(door.activity, state=SignUpState.CANCELLED)
    door.scan()
    roster = read(door.officer(), door)
    assert roster["activity"] == {
        "id": str(door.activity.id),
        "title": door.activity.title,
        "state": "registration_open",
        "starts_at": "2026-10-01T10:30:00+08:00",
        "ends_at": "2026-10-01T13:00:00+08:00",
        "capacity": 2,
        "taken": 2,
        "waiting": 1,
        "pools": [],
    }
    assert roster["rules"] == {
        "opens_before_minutes": 120,
        "check_out_after_minutes": 60,
        "clock_tolerance_minutes": 5,
        "uploads_until": "2026-10-08T13:00:00+08:00",
        "late_minutes": 15,
        "requires_check_out": False,
        "walk_ins_from": "2026-10-01T10:30:00+08:00",
    }
    assert [(entry["state"], entry["attendance"]) for entry in roster["entries"]] == [
        ("confirmed", "attended"),
        ("confirmed", None),
        ("waitlisted", None),
    ]
    assert roster["entries"][2]["name"] == "郭静"
    assert roster["entries"][0]["arrived_at"] == "2026-10-01T10:00:00+08:00"
    assert (roster["removed"], roster["next_cursor"]) == ([], None)
    assert (roster["as_of"], roster["next_since"]) == (
        "2026-10-01T10:00:00+08:00",
        "2026-10-01T09:59:00+08:00",
    )


def test_a_phone_without_signal_shows_the_codes_that_the_server_takes(door, frozen, database):
    """The key of the next shift is there too: the phone may be carried to the door hours before."""
    shifts = read(door.officer(), door)["shifts"]
    assert [(shift["valid_from"], shift["valid_until"]) for shift in shifts] == [
        ("2026-10-01T08:00:00+08:00", "2026-10-01T14:00:00+08:00"),
        ("2026-10-01T14:00:00+08:00", "2026-10-01T20:00:00+08:00"),
    ]
    with_longer_end = {"ends_at": frozen.now + timedelta(hours=9)}
    codes = set()
    for hours, shift in ((0, shifts[0]), (3.99, shifts[0]), (4, shifts[1]), (6, shifts[1])):
        at = frozen.now.replace(hour=2) + timedelta(hours=hours)
        assert (
            datetime.fromisoformat(shift["valid_from"]) <= at < datetime.fromisoformat(shift["valid_until"])
        )
        step = (int(at.timestamp()) // 30).to_bytes(8, "big")
        digest = hmac.digest(base64.b64decode(shift["key"]), step, hashlib.sha256)
        codes.add((hours, base64.b32encode(digest[:5]).decode()))
    with database.transaction() as session:
        session.execute(update(Activity).values(**with_longer_end))
    start = frozen.now
    for hours, code in sorted(codes):
        frozen.set(start + timedelta(hours=hours))
        assert door.code() == code
    assert door.scan(code).status_code == 200


def test_later_only_changes_are_told_and_who_left(door, frozen, make, as_user):
    leaving = make.person()
    as_user(leaving.id).put(f"{door.url}/sign-up", json={})
    first = read(door.officer(), door)
    of = {entry["person_id"]: entry["sign_up_id"] for entry in first["entries"]}
    frozen.move(minutes=3)
    first = read(door.officer(), door)
    assert read(door.officer(), door, updated_since=first["next_since"])["entries"] == [], "nothing since"
    as_user(leaving.id).delete(f"{door.url}/sign-up")
    as_user(make.person().id).put(f"{door.url}/sign-up", json={})
    door.scan()
    second = read(door.officer(), door, updated_since=first["next_since"])
    assert second["removed"] == [of[str(leaving.id)]]
    told = {entry["person_id"]: entry["attendance"] for entry in second["entries"]}
    assert told.pop(str(door.person.id)) == "attended"
    assert list(told.values()) == [None]
    frozen.move(minutes=1, seconds=1)
    again = read(door.officer(), door, updated_since=second["next_since"])
    assert (len(again["entries"]), len(again["removed"])) == (2, 1), "at worst twice, never missed"
    third = read(door.officer(), door, updated_since=again["next_since"])
    assert (third["entries"], third["removed"]) == ([], [])


def test_a_large_roster_comes_in_pages_each_signed(door, make, app):
    for _ in range(4):
        make.sign_up(door.activity, state=SignUpState.APPLIED)
    officer, seen, cursor, signatures = door.officer(), [], {}, []
    while cursor is not None:
        with count_statements(app) as sent:
            page = read(officer, door, limit=2, **cursor)
        assert len(sent) == 4, "one of them finds the caller, the last is the entry of the audit log"
        seen += [entry["sign_up_id"] for entry in page["entries"]]
        signatures.append(page["signature"])
        cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == 5
    assert [upload(door.officer(), door, signature).status_code for signature in signatures] == [200] * 3
    assert officer.get(f"{door.url}/roster?limit=501").json["errors"][0]["code"] == "too_large"


def test_pools_are_on_the_roster(door, make):
    merge_at = door.activity.starts_at
    activity = make.activity(door.org, pools_merged=False, pools_merge_at=merge_at)
    make.add(
        Pool(
            activity_id=activity.id,
            position=1,
            name="全部",
            audience=Audience.EVERYBODY,
            county_codes=[],
            capacity=10,
        )
    )
    make.sign_up(activity, pool=1, pool_mask=1)
    roster = door.officer().get(f"/v1/activities/{activity.id}/roster").json
    assert [(pool["name"], pool["taken"]) for pool in roster["activity"]["pools"]] == [("全部", 1)]
    assert roster["entries"][0]["pool"] == 1


def test_a_roster_is_for_staff_of_the_activity(door, make, as_user):
    assert door.youth().get(f"{door.url}/roster").json["code"] == "not_allowed"
    elsewhere = make.staff(Role.OFFICER, org=make.org())
    assert as_user(elsewhere.id).get(f"{door.url}/roster").json["code"] == "not_allowed"
    draft = make.activity(door.org, status=ActivityStatus.DRAFT)
    hidden = as_user(elsewhere.id).get(f"/v1/activities/{draft.id}/roster")
    assert hidden.json["code"] == "no_such_activity"
    hub = make.hub(door.org)
    at_hub = make.activity(door.org, hub)
    manager = as_user(make.staff(Role.HUB_MANAGER, hub=hub).id)
    assert manager.get(f"/v1/activities/{at_hub.id}/roster").status_code == 200
    assert manager.get(f"{door.url}/roster").json["code"] == "not_allowed"
    unknown = door.officer().get(f"/v1/activities/{ids.new_id()}/roster")
    assert (unknown.status_code, unknown.json["code"]) == (404, "no_such_activity")


def forged(settings, signature):
    """Signatures that were not given to this person for this activity."""
    key, salt = settings.key("roster"), {"digest_method": hashlib.sha256}
    good = URLSafeSerializer(key, salt="roster", signer_kwargs=salt)
    signed = good.loads(signature)
    yield "x"
    payload, _, proof = signature.rpartition(".")
    yield f"{payload}.{proof[::-1]}"
    yield URLSafeSerializer(settings.key("cursor"), salt="roster", signer_kwargs=salt).dumps(signed)
    yield good.dumps({**signed, "activity": ids.new_id().hex})
    yield good.dumps({**signed, "person": ids.new_id().hex})


def test_a_roster_that_was_not_given_to_the_sender_is_refused_and_nothing_is_changed(
    door, frozen, make, as_user, settings
):
    signature = read(door.officer(), door)["signature"]
    colleague = as_user(make.staff(Role.OFFICER, org=door.org).id)
    answers = [upload(door.officer(), door, other) for other in forged(settings, signature)]
    answers.append(upload(colleague, door, signature))
    other = make.activity(door.org)
    answers.append(
        upload(
            door.officer(), door, door.officer().get(f"/v1/activities/{other.id}/roster").json["signature"]
        )
    )
    frozen.set(door.activity.starts_at)
    assert {(answer.status_code, answer.json["code"]) for answer in answers} == {
        (403, "roster_signature_invalid")
    }
    assert read(door.officer(), door)["entries"][0]["arrived_at"] is None
    assert upload(door.officer(), door, signature).json["results"][0]["result"] == "accepted"


def test_a_roster_is_good_for_as_long_as_uploads_are_taken(door, frozen, database):
    with database.transaction() as session:
        session.execute(update(Activity).values(ends_at=frozen.now + timedelta(days=20)))
    roster = read(door.officer(), door)
    frozen.set(datetime.fromisoformat(roster["rules"]["uploads_until"]) - timedelta(seconds=1))
    assert upload(door.officer(), door, roster["signature"]).status_code == 200
    frozen.move(seconds=1)
    assert upload(door.officer(), door, roster["signature"]).json["code"] == "activity_over"


def test_a_roster_says_when_the_activity_was_called_off(door, database):
    with database.transaction() as session:
        session.execute(update(Activity).values(status=ActivityStatus.CANCELLED))
    assert read(door.officer(), door)["activity"]["state"] == "cancelled"


def signed_of(roster):
    return URLSafeSerializer("").load_payload(roster["signature"].rpartition(".")[0].encode())


def test_the_signature_covers_all_that_is_on_the_page(door, make, database):
    roster = read(door.officer(), door)
    first = signed_of(roster)
    assert first == {
        "activity": door.activity.id.hex,
        "person": door.officer_id.hex,
        "shift": roster["shifts"][0]["id"],
        "as_of": "2026-10-01T10:00:00+08:00",
        "page": first["page"],
    }
    digests = [first["page"]]
    assert signed_of(read(door.officer(), door))["page"] == digests[0]
    for change in (
        update(Activity).values(late_minutes=3),
        update(Activity).values(capacity=Activity.capacity + 1),
        update(Person).where(Person.id == door.person.id).values(name="李晓"),
    ):
        with database.transaction() as session:
            session.execute(change)
        digests.append(signed_of(read(door.officer(), door))["page"])
    door.scan()
    digests.append(signed_of(read(door.officer(), door))["page"])
    assert len(set(digests)) == len(digests)


def test_the_audit_log_names_the_roster_that_an_upload_was_made_from(door, database):
    roster = read(door.officer(), door)
    assert upload(door.officer(), door, roster["signature"]).status_code == 200
    with database.reading() as db:
        [changes] = db.scalars(
            select(AuditEntry.changes).where(
                AuditEntry.object_id == door.activity.id, AuditEntry.action == "upload_check_ins"
            )
        )
    noted = {item["field"]: item["after"] for item in changes["items"] if item["object"] == "roster"}
    assert noted == {name: signed_of(roster)[name] for name in ("as_of", "page")}


def test_a_roster_from_before_pages_were_signed_whole_is_taken(door, settings):
    signed = signed_of(read(door.officer(), door))
    del signed["page"]
    older = URLSafeSerializer(
        settings.key("roster"), salt="roster", signer_kwargs={"digest_method": hashlib.sha256}
    ).dumps(signed)
    assert upload(door.officer(), door, older).status_code == 200


def test_a_name_that_was_corrected_is_a_change(door, frozen, make, database):
    frozen.move(minutes=3)
    since = read(door.officer(), door)["next_since"]
    frozen.move(minutes=3)
    body = {"name": "李晓", "gender": "female", "birth_on": "2006-03-05", "hometown_code": "140502", "current_code": "140502"}  # fmt: skip
    assert door.youth().put("/v1/me", json=body, headers={"If-Match": "*"}).status_code == 200
    [entry] = read(door.officer(), door, updated_since=since)["entries"]
    assert entry["name"] == "李晓"


def test_an_excuse_and_an_end_are_changes_that_the_roster_tells(door, frozen, make, database):
    frozen.move(minutes=2)
    since = (frozen.now - timedelta(minutes=1)).isoformat()
    with database.reading() as db:
        sign_up_id = db.scalar(SignUp.__table__.select().with_only_columns(SignUp.id))
    frozen.set(door.activity.starts_at)
    door.officer().post(f"{door.url}/sign-ups/{sign_up_id}/excuse", json={"reason": "发烧"})
    assert [entry["attendance"] for entry in read(door.officer(), door, updated_since=since)["entries"]] == [
        "excused"
    ]
    door.officer().post(f"{door.url}/sign-ups/{sign_up_id}/cancellation", json={"reason": "重复"})
    assert read(door.officer(), door, updated_since=since)["removed"] == [str(sign_up_id)]
