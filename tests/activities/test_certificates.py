"""Certificates of service hours: issued, drawn as PDF, checked by anybody who holds the code."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from pypdf import PdfReader
from racing import at_once
from sqlalchemy import func, select

from engage.activities.models import HoursCertificate, HoursCertificateEntry
from engage.activities.service import certificates
from engage.core import ids
from engage.core.idempotency import IdempotentAnswer
from engage.orgs.models import Role

URL = "/v1/me/hours-certificates"


@pytest.fixture
def holder(make, as_user):
    """Somebody with a name that few fonts can write, and a client of theirs."""

    class Holder:
        person = make.person(name="𬱟䶮·张喆")
        client = as_user(person.id)

        def issue(self, **period):
            return self.client.post(URL, json=period)

    return Holder()


@pytest.fixture
def served(held, holder, make):
    """Return a function that gives the holder hours of an activity some days ago."""

    def serve(days=0, minutes=120, **values):
        activity = held.activity(
            starts_at=held.starts_at - timedelta(days=days),
            ends_at=held.ends_at - timedelta(days=days),
            **values,
        )
        make.sign_up(activity, holder.person)
        return make.hours(activity, holder.person, minutes=minutes)

    return serve


def counted(database):
    with database.reading() as db:
        return tuple(
            db.scalar(select(func.count()).select_from(table))
            for table in (HoursCertificate, HoursCertificateEntry)
        )


# Issuing


def test_a_certificate_sums_up_the_hours_in_force(held, holder, served):
    first, _, reversed_one = served(days=9, title="社区清洁"), served(days=3, minutes=45), served(days=1)
    held.reverse(reversed_one.id)
    issued = holder.issue()
    assert issued.status_code == 201
    card = issued.json
    assert issued.headers["Location"] == f"{URL}/{card['id']}"
    assert card == {
        "id": card["id"],
        "number": f"2026-{card['id'].replace('-', '')[-10:].upper()}",
        "status": "valid",
        "holder_name": "𬱟䶮·张喆",
        "issuer_name": "城区团委",
        "issued_on": "2026-10-01",
        "from_on": "2026-09-22",
        "until_on": "2026-09-28",
        "total_minutes": 165,
        "activity_count": 2,
    }
    found = holder.client.get(issued.headers["Location"]).json
    code = found["verification_code"]
    assert found["verification_url"] == f"https://engage.example.cn/v1/certificates/{code}"
    assert found["activities"][0] == {
        "activity_id": str(first.activity_id), "title": "社区清洁", "held_on": "2026-09-22", "minutes": 120, "made_up": False,
    }  # fmt: skip
    assert [activity["minutes"] for activity in found["activities"]] == [120, 45]


@pytest.mark.parametrize(
    ("period", "minutes"),
    [
        ({}, 7),
        ({"from_on": "2026-09-29"}, 3),
        ({"until_on": "2026-09-28"}, 4),
        ({"from_on": "2026-09-29", "until_on": "2026-09-29"}, 2),
        ({"from_on": None, "until_on": None}, 7),
        ({"from_on": "1999-01-01", "until_on": "2199-01-01"}, 7),
    ],
)
def test_a_period_is_of_whole_shanghai_days(holder, served, held, period, minutes):
    """The activities begin at 07:00 in Shanghai, which is the day before in UTC."""
    for days, given in ((3, 4), (2, 2), (0, 1)):
        served(days=days, minutes=given)
    card = holder.issue(**period).json
    assert card["total_minutes"] == minutes
    for name, value in period.items():
        assert value is None or card[name] == value


@pytest.mark.parametrize(
    ("period", "code"),
    [
        ({"from_on": "2026-10-02", "until_on": "2026-10-01"}, "bad_order"),
        ({"from_on": "2026-13-01"}, "not_date"),
        ({"from_on": "yesterday"}, "not_date"),
    ],
)
def test_a_bad_period_is_refused(holder, served, database, period, code):
    served()
    answer = holder.issue(**period)
    assert (answer.status_code, [error["code"] for error in answer.json["errors"]]) == (422, [code])
    assert counted(database) == (0, 0)


def test_there_is_nothing_to_certify(held, holder, served, database):
    assert holder.issue().json["code"] == "no_hours_to_certify"
    entry = served()
    assert holder.issue(until_on="2026-09-30").json["code"] == "no_hours_to_certify"
    held.reverse(entry.id)
    answer = holder.issue()
    assert (answer.status_code, answer.json["code"]) == (409, "no_hours_to_certify")
    assert counted(database) == (0, 0)


def test_somebody_without_a_name_is_asked_for_it(make, as_user):
    nameless = as_user(make.person(name=None).id)
    assert nameless.post(URL, json={}).json["code"] == "profile_incomplete"


def test_a_certificate_lists_so_many_activities(holder, served, monkeypatch):
    monkeypatch.setattr(certificates, "MAX_ACTIVITIES", 2)
    for days in range(3):
        served(days)
    refused = holder.issue()
    assert (refused.status_code, refused.json["code"]) == (409, "too_many_hours_to_certify")
    assert "2" in refused.json["detail"]
    assert holder.issue(from_on="2026-09-30").status_code == 201


def test_the_committee_nearest_above_all_issues_it(held, holder, served, make):
    branch = make.org(held.county, kind_code="branch", name="社区团支部")
    other = make.org(held.city, name="陵川县团委")
    served(days=1, org=branch)
    assert holder.issue().json["issuer_name"] == "城区团委"
    served(days=2, org=other)
    assert holder.issue().json["issuer_name"] == held.city.name


def test_one_key_issues_one_certificate_and_keeps_no_code(holder, served, database):
    served()
    answers = at_once(
        [lambda: holder.client.post(URL, json={}, headers={"Idempotency-Key": "k"}) for _ in range(4)]
    )
    done = [answer for answer in answers if answer.status_code == 201]
    assert {answer.json["code"] for answer in answers if answer.status_code != 201} <= {"still_running"}
    assert len({answer.json["id"] for answer in done}) == 1
    assert counted(database) == (1, 1)
    code = holder.client.get(done[0].headers["Location"]).json["verification_code"]
    with database.reading() as db:
        assert code not in db.scalar(select(IdempotentAnswer.body)).decode()


def test_two_at_once_are_two_certificates(holder, served, database):
    served()
    answers = at_once([holder.issue] * 2)
    assert [answer.status_code for answer in answers] == [201, 201]
    assert counted(database) == (2, 2)


def test_the_database_holds_the_code_sealed_only(holder, served, database):
    served()
    code = holder.client.get(holder.issue().headers["Location"]).json["verification_code"]
    with database.reading() as db:
        [row] = db.execute(select(HoursCertificate.__table__)).all()
    plain = code.replace("-", "")
    assert len(plain) == 24
    assert not [value for value in row if plain in str(value) or code in str(value)]


# Reading one's own


def test_my_certificates_are_listed_without_codes(holder, served, make, as_user):
    served()
    cards = [holder.issue().json for _ in range(3)]
    first = holder.client.get(f"{URL}?limit=2").json
    rest = holder.client.get(URL, query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert first["items"] + rest["items"] == cards[::-1]
    assert "verification_code" not in json.dumps(first)
    assert as_user(make.person().id).get(URL).json["items"] == []


@pytest.mark.parametrize("path", ["", "/document"])
def test_a_certificate_is_its_holders_only(held, holder, served, make, as_user, path):
    served()
    address = holder.issue().headers["Location"] + path
    assert holder.client.get(address).status_code == 200
    admin = as_user(make.staff(Role.PLATFORM_ADMIN, org=held.city).id)
    for client in (as_user(make.person().id), held.officer, admin):
        refused = client.get(address)
        assert (refused.status_code, refused.json["code"]) == (404, "no_such_certificate")
    assert holder.client.get(f"{URL}/{ids.new_id()}{path}").status_code == 404


# The document


def read(answer):
    reader = PdfReader(io.BytesIO(answer.data))
    return reader, "\n".join(page.extract_text() for page in reader.pages)


def fonts_of(reader):
    """Return (name, is embedded) of every font of every page."""
    found = set()
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            described = font.get_object()["/DescendantFonts"][0].get_object()
            descriptor = described["/FontDescriptor"].get_object()
            embedded = bool({"/FontFile2", "/FontFile3"} & descriptor.keys())
            found.add((str(described["/BaseFont"]), embedded))
    return found


def test_the_document_says_it_all_in_embedded_chinese(holder, served):
    served(days=9, title="社区清洁与“垃圾分类”宣传")
    card = holder.issue().json
    found = holder.client.get(f"{URL}/{card['id']}").json
    answer = holder.client.get(f"{URL}/{card['id']}/document")
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    assert answer.headers["Content-Disposition"] == 'inline; filename="service-hours.pdf"'
    reader, text = read(answer)
    plain = "".join(text.split())
    for words in (
        "志愿服务时长证明", "CertificateofServiceHours", "𬱟䶮·张喆", "城区团委", "社区清洁与“垃圾分类”宣传", "2026-09-22", "2:00", "2小时",
        "现场签到", card["number"], found["verification_code"], "核验码",
    ):  # fmt: skip
        assert words in plain, words
    fonts = fonts_of(reader)
    assert fonts
    assert all(embedded and "+NotoSansCJKsc" in name for name, embedded in fonts), fonts
    assert len(answer.data) < 100_000
    page = reader.pages[0].mediabox
    assert (round(page.width), round(page.height)) == (595, 842)
    assert reader.metadata.title == f"志愿服务时长证明 {card['number']}"


def test_the_document_is_the_same_every_time(holder, served, frozen):
    served()
    address = holder.issue().headers["Location"] + "/document"
    first = holder.client.get(address)
    frozen.move(days=40)
    again = holder.client.get(address)
    assert again.data == first.data
    unchanged = holder.client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert unchanged.status_code == 304
    assert first.headers["Cache-Control"] == "no-store"


def test_the_name_stays_as_it_was_on_the_day(holder, served, database):
    served()
    address = holder.issue().headers["Location"]
    with database.transaction() as session:
        session.merge(holder.person).name = "改名"
    assert holder.client.get(address).json["holder_name"] == "𬱟䶮·张喆"


def test_a_long_list_goes_over_several_pages(holder, served):
    for days in range(45):
        served(days, minutes=61)
    answer = holder.client.get(holder.issue().headers["Location"] + "/document")
    reader, text = read(answer)
    assert len(reader.pages) == 2
    assert text.count("序号") == 2
    plain = "".join(text.split())
    assert "第2页，共2页" in plain
    assert "45小时45分钟" in plain
    assert "45:45" in plain


def test_what_people_wrote_is_text_and_no_markup(holder, served):
    title = '#panic("x") *粗* $x$ <a> \\u{41} "]'
    served(title=title)
    answer = holder.client.get(holder.issue().headers["Location"] + "/document")
    assert answer.status_code == 200
    assert "".join(title.split()) in "".join(read(answer)[1].split())


@pytest.mark.parametrize(
    ("title", "printed"),
    [
        ("青春🔥夜市", "青春〓夜市"),
        ("为你点赞👍❤️", "为你点赞〓〓"),
        ("全家👨\u200d👩\u200d👧来", "全家〓〓〓来"),
        ("مرحبا བོད", "〓〓〓〓〓〓〓〓"),
        ("私用\ue000区与葛\U000e0100", "私用〓区与葛"),
    ],
)
def test_what_the_font_lacks_is_stood_in_for_and_all_else_is_right(holder, served, database, title, printed):
    with database.transaction() as session:
        session.merge(holder.person).name = "吴𪚥·龘"
    served(days=1, minutes=95, title=title)
    card = holder.issue().json
    found = holder.client.get(f"{URL}/{card['id']}").json
    assert (found["holder_name"], found["activities"][0]["title"]) == ("吴𪚥·龘", title)
    answer = holder.client.get(f"{URL}/{card['id']}/document")
    assert answer.status_code == 200
    reader, text = read(answer)
    plain = "".join(text.split())
    for words in (
        "吴〓·龘",
        printed,
        card["number"],
        found["verification_code"],
        "1:35",
        "1小时35分钟",
        "2026-09-30",
    ):
        assert words in plain, words
    assert "pdfaid" in reader.xmp_metadata.rdf_root.toxml()


def test_what_only_the_archive_forbids_is_drawn_all_the_same(holder, served, monkeypatch):
    monkeypatch.setattr(certificates, "legible", lambda text: text)
    served(title="青春🔥夜市")
    card = holder.issue().json
    answer = holder.client.get(f"{URL}/{card['id']}/document")
    assert answer.status_code == 200
    assert card["number"] in read(answer)[1]


def test_make_up_hours_are_marked(held, holder, make, frozen):
    activity = held.activity()
    make.sign_up(activity, holder.person)
    held.close(activity)
    assert held.make_up(activity, holder.person.id).status_code == 201
    address = holder.issue().headers["Location"]
    assert [found["made_up"] for found in holder.client.get(address).json["activities"]] == [True]
    text = read(holder.client.get(address + "/document"))[1]
    assert "补录" in text
    assert "现场签到" not in text


def test_a_superseded_certificate_is_not_drawn(held, holder, served):
    entry = served()
    address = holder.issue().headers["Location"]
    held.reverse(entry.id)
    assert holder.client.get(address).json["status"] == "superseded"
    refused = holder.client.get(address + "/document")
    assert (refused.status_code, refused.json["code"]) == (409, "certificate_superseded")
    assert holder.client.get(URL).json["items"][0]["status"] == "superseded"


# Checking


def test_anybody_with_the_code_sees_validity_and_sums_and_no_person(held, holder, served, client):
    entry = served(days=2, minutes=90)
    served()
    card = holder.issue().json
    code = holder.client.get(f"{URL}/{card['id']}").json["verification_code"]
    checked = client.get(f"/v1/certificates/{code}")
    assert checked.status_code == 200
    assert checked.json == {
        "number": card["number"],
        "status": "valid",
        "issuer_name": "城区团委",
        "issued_on": "2026-10-01",
        "from_on": "2026-09-29",
        "until_on": "2026-10-01",
        "total_minutes": 210,
        "activity_count": 2,
    }
    assert holder.person.name not in checked.text
    assert str(holder.person.id) not in checked.text
    assert checked.headers["Cache-Control"] == "no-store"
    held.reverse(entry.id)
    assert client.get(f"/v1/certificates/{code}").json == {**checked.json, "status": "superseded"}


@pytest.mark.parametrize("written", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
def test_a_code_may_be_copied_carelessly(holder, served, client, written):
    served()
    code = holder.client.get(holder.issue().headers["Location"]).json["verification_code"]
    assert client.get(f"/v1/certificates/{written(code)}").status_code == 200


def test_codes_that_were_guessed_or_are_none_are_refused_alike(holder, served, client):
    served()
    good = holder.client.get(holder.issue().headers["Location"]).json["verification_code"]
    near = good[:-1] + ("A" if good[-1] != "A" else "B")
    answers = [
        client.get(f"/v1/certificates/{code}")
        for code in (
            near,
            "A" * 24,
            "x",
            "长城",
            "'%20or%201=1",
            good[:-5],
            good + "A",
            str(ids.new_id()),
            "A" * 65,
            good + "%20" * 65,
            good + "%0A",
            "%00",
            "%E2%80%AE" + good,
            "%FF",
        )
    ]
    bodies = {json.dumps({**answer.json, "request_id": ""}, ensure_ascii=False) for answer in answers}
    assert {answer.status_code for answer in answers} == {404}
    assert len(bodies) == 1
    assert answers[0].json["code"] == "no_such_certificate"


def test_the_code_is_not_in_the_log(holder, served, client, caplog):
    served()
    code = holder.client.get(holder.issue().headers["Location"]).json["verification_code"]
    caplog.clear()
    assert client.get(f"/v1/certificates/{code}").status_code == 200
    logged = [str(record.__dict__) for record in caplog.records]
    assert logged
    assert not [line for line in logged if code in line]
