"""What every answer tells browsers, what pages may load, and which other sites may read answers."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from contract import content

from engage import gunicorn_config
from engage.app import create_app

OPS = "https://ops.example.cn"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.fixture
def serving(settings):
    """Return a function that makes a client of the service under other settings."""
    apps = []

    def serving(**changes):
        apps.append(create_app(settings.replace(**changes)))
        return apps[-1].test_client()

    yield serving
    for app in apps:
        app.extensions["engage.database"].dispose()


def test_every_answer_has_them_whatever_it_is(client, as_user, make, frozen):
    mine = as_user(make.person().id)
    etag = {"If-None-Match": mine.get("/v1/home").headers["ETag"]}
    answers = {
        200: client.get("/v1/hub-kinds"),
        204: mine.delete("/v1/me/sessions"),
        304: mine.get("/v1/home", headers=etag),
        400: mine.put("/v1/me", data=b"{", content_type="application/json"),
        401: client.get("/v1/me"),
        404: client.get("/nowhere"),
        405: client.post("/v1/hub-kinds"),
        413: mine.put("/v1/me", data=b"x" * 2**21, content_type="application/json"),
        415: mine.put("/v1/me", data=b"{}", content_type="text/plain"),
    }
    assert {status: answer.status_code for status, answer in answers.items()} == {
        status: status for status in answers
    }
    for answer in [*answers.values(), client.options("/v1/me"), client.head("/healthz")]:
        assert {name: answer.headers.getlist(name) for name in HEADERS} == {
            name: [value] for name, value in HEADERS.items()
        }
        assert "Strict-Transport-Security" not in answer.headers
        assert "Set-Cookie" not in answer.headers
        assert not [name for name in dict(answer.headers) if name.startswith("Access-Control-")]


def test_a_browser_is_led_to_the_documentation_wherever_it_comes_in(client):
    for address in ("/", "/docs"):
        assert client.get(address).headers["Location"] == "/docs/"


def test_a_page_may_load_its_own_files_and_run_the_very_scripts_that_stand_in_it(client):
    page = client.get("/docs/", headers={"Host": "evil.example"})
    policy = page.headers["Content-Security-Policy"]
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert scripts
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|javascript:", page.text), "a handler in the markup would be stopped"
    assert "evil.example" not in page.text
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; "))
    assert '"layout": "BaseLayout"' in page.text, "the other one writes a style, which would be stopped"


def test_browsers_are_told_to_come_by_https_where_it_is_set(serving):
    answer = serving(hsts_seconds=31_536_000).get("/healthz")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_only_the_named_origins_may_read_answers(serving):
    client = serving(cors_origins=frozenset({OPS}))
    answer = client.get("/v1/hub-kinds", headers={"Origin": OPS})
    assert answer.headers["Access-Control-Allow-Origin"] == OPS
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    refused = client.get("/v1/me", headers={"Origin": OPS})
    assert refused.headers["Access-Control-Allow-Origin"] == OPS, "also why something was refused"
    asked = {
        "Origin": OPS,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = client.options("/v1/me", headers=asked)
    assert preflight.status_code == 200
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    for origin in (
        "null",
        "*",
        "http://ops.example.cn",
        f"{OPS}:444",
        f"{OPS}.evil.example",
        "https://evil.example",
        f"{OPS}/",
        OPS.upper(),
        "https://evilops.example.cn",
    ):
        for answer in (
            client.get("/v1/hub-kinds", headers={"Origin": origin}),
            client.options("/v1/me", headers={**asked, "Origin": origin}),
        ):
            assert not [name for name in dict(answer.headers) if name.startswith("Access-Control-")], origin
            assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers


ENCODINGS = {
    "gzip": "gzip",
    "gzip, br": "gzip",
    "br;q=1.0, GZIP;q=0.5": "gzip",
    "*": "gzip",
    "gzip;q=0": None,
    "gzip;q=0, *": None,
    "*, gzip ; q=0.000": None,
    "identity, *;q=0": None,
    "br": None,
    "notgzip": None,
    "": None,
}


@pytest.mark.parametrize("accepted", ENCODINGS)
def test_what_is_large_is_compressed_for_who_takes_gzip(client, make, frozen, accepted):
    """As RFC 9110 has it: a weight of 0 refuses, and ``*`` is all that is not named."""
    org = make.org()
    for _ in range(5):
        make.activity(org)
    for address in ("/openapi.json", "/docs/", "/v1/activities"):
        plain = client.get(address)
        answer = client.get(address, headers={"Accept-Encoding": accepted})
        assert (plain.headers.get("Content-Encoding"), len(plain.data) >= 1024) == (None, True)
        assert answer.headers.get("Content-Encoding") == ENCODINGS[accepted], address
        assert content(answer) == plain.data


def test_the_server_bounds_headers_and_believes_none_about_where_it_is():
    assert gunicorn_config.limit_request_line == gunicorn_config.limit_request_field_size == 8190
    assert gunicorn_config.limit_request_fields == 64
    assert gunicorn_config.forwarded_allow_ips == gunicorn_config.forwarder_headers == ""
