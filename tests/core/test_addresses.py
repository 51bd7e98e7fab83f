"""Which operation an address means is remembered, and bounded."""

from __future__ import annotations

import pytest

from engage.core import ids


def test_an_address_means_what_it_did_before_for_each_method(client, app):
    address = f"/v1/activities/{ids.new_id()}/sign-up"
    for _ in range(2):
        assert app.find(address, "PUT")[0].endpoint == "sign_up"
        assert app.find(address, "DELETE")[0].endpoint == "leave_activity"
        assert client.put(f"{address}/").status_code == 401
        assert client.post(address).json["code"] == "method_not_allowed"
        assert client.get("/v1/activities/nobody/sign-ups/x").json["code"] == "no_such_address"


@pytest.mark.parametrize(
    ("address", "methods"),
    [
        ("/v1/me/sessions/0199f0c2-b7a0-7c3f-9f5d-2f7a1c3e5b7d", {"DELETE", "OPTIONS"}),
        ("/v1/role-grants", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/docs/", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_whoever_asks_is_told_the_methods_of_that_address(client, address, methods):
    answer = client.options(address)
    assert (answer.status_code, answer.allow.as_set(preserve_casing=True)) == (200, methods)
    assert set(client.put(address).headers["Allow"].split(", ")) == methods, "as a refusal says them"


def test_what_anybody_makes_up_takes_no_room(client, app):
    remembered = app._remembered.cache_info
    before = remembered().currsize
    for address in (f"/v1/activities/{'a' * 4000}", f"/v1/{ids.new_id()}", "/v1/activities/a/b/c"):
        assert client.get(address).status_code in (404, 422)
    assert remembered().currsize == before
    client.get(f"/v1/activities/{ids.new_id()}")
    assert remembered().currsize == before + 1
