"""Divisions over HTTP."""

from __future__ import annotations


def test_children_of_the_city_are_its_counties(client):
    page = client.get("/v1/regions?parent=140500").json
    assert [item["name"] for item in page["items"]] == [
        "城区",
        "沁水县",
        "阳城县",
        "陵川县",
        "泽州县",
        "高平市",
    ]
    assert page["next_cursor"] is None


def test_without_a_parent_the_provinces_are_listed(client):
    assert [item["code"] for item in client.get("/v1/regions").json["items"]] == ["110000", "140000"]


def test_pages_join_without_gap_or_repetition(client):
    first = client.get("/v1/regions?parent=140500&limit=4").json
    second = client.get(
        "/v1/regions", query_string={"parent": "140500", "limit": 4, "cursor": first["next_cursor"]}
    ).json
    codes = [item["code"] for item in first["items"] + second["items"]]
    assert codes == ["140502", "140521", "140522", "140524", "140525", "140581"]


def test_a_cursor_of_another_question_is_refused(client):
    cursor = client.get("/v1/regions?parent=140500&limit=1").json["next_cursor"]
    answer = client.get("/v1/regions", query_string={"parent": "140000", "limit": 1, "cursor": cursor})
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "bad_cursor")


def test_names_are_searched_by_their_beginning(client):
    assert [
        item["code"] for item in client.get("/v1/regions", query_string={"name": "陵"}).json["items"]
    ] == ["140524"]
    assert client.get("/v1/regions", query_string={"name": "%"}).json["items"] == []


def test_a_village_comes_with_its_ancestors(client):
    region = client.get("/v1/regions/140502001001").json
    assert [ancestor["name"] for ancestor in region["ancestors"]] == ["山西省", "晋城市", "城区", "东街街道"]
    assert (region["is_retired"], region["successor"]) == (False, None)


def test_a_retired_code_says_what_it_became(client):
    region = client.get("/v1/regions/140523").json
    assert (region["is_retired"], region["retired_after"], region["successor"]["code"]) == (
        True,
        1992,
        "140581",
    )


def test_a_retired_code_without_successor_says_only_that(client):
    region = client.get("/v1/regions/140511").json
    assert (region["is_retired"], region["successor"]) == (True, None)


def test_an_unknown_code_is_not_found(client):
    answer = client.get("/v1/regions/999999", headers={"Accept-Language": "en"})
    assert (answer.status_code, answer.json["code"], answer.json["title"]) == (
        404,
        "no_such_division",
        "Not Found",
    )


def test_nearest_county_takes_both_coordinate_systems(client):
    gcj = client.get("/v1/regions/nearest-county", query_string={"near": "35.50185,112.83893"}).json
    wgs = client.get(
        "/v1/regions/nearest-county", query_string={"near": "35.50222,112.83278", "coord_type": "wgs84"}
    ).json
    assert (gcj["code"], gcj["distance_m"]) == ("140502", 0)
    assert wgs["code"] == "140502"
    assert wgs["distance_m"] < 3


def test_far_from_any_known_county_is_not_found(client):
    answer = client.get("/v1/regions/nearest-county?near=39.9,116.4")
    assert (answer.status_code, answer.json["code"]) == (404, "no_county_near")


def test_an_unchanged_answer_is_not_sent_again(client):
    first = client.get("/v1/regions/140524")
    again = client.get("/v1/regions/140524", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_bad_queries_name_what_is_wrong(client):
    for query, pointer, code in [
        ("nope=1", "/nope", "unknown_field"),
        ("limit=abc", "/limit", "not_whole_number"),
        ("limit=101", "/limit", "too_large"),
        ("parent=14", "/parent", "too_short"),
        ("level=planet", "/level", "not_choice"),
        ("cursor=AAAA", "/cursor", "bad_cursor"),
        ("limit=1&limit=2", "/limit", "not_unique"),
    ]:
        answer = client.get(f"/v1/regions?{query}")
        assert (answer.status_code, answer.json["code"]) == (422, "invalid_input"), query
        assert {"pointer": pointer, "code": code}.items() <= answer.json["errors"][0].items(), query
