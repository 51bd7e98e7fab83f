"""The page itself: what it is sent with, what it loads, and that its script speaks to operations that exist."""

from __future__ import annotations

import re

from engage.app import APIS
from engage.core.http import PREFIX
from engage.orgs.access import Permission

POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "data:", "connect-src": "'self'",
    "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
}  # fmt: skip


def test_each_file_is_sent_so_that_nothing_else_runs_and_nobody_frames_it(client):
    for address, mimetype in {
        "/console/login": "text/html",
        "/console/scan": "text/html",
        "/console/login.js": "text/javascript",
        "/console/login.css": "text/css",
    }.items():
        answer = client.get(address)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"{mimetype}; charset=utf-8")
        policy = dict(
            rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";")
        )
        assert policy == POLICY
        for name, value in {
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            assert answer.headers.getlist(name) == [value], address
        assert "Set-Cookie" not in answer.headers
        assert client.post(address).status_code == 405


def test_the_pages_hold_nothing_inline_and_are_in_both_languages(client):
    for address in ("/console/login", "/console/scan"):
        html = client.get(address).text
        assert html.startswith('<!DOCTYPE html>\n<html lang="zh-CN">')
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=\"/console/)", html)
        assert set(re.findall(r'(?:src|href)="([^"]+)"', html)) <= {"/console/login.js", "/console/login.css"}
        assert re.search(r"[\u4e00-\u9fff].*?<span lang=\"en\">[A-Z]", html, re.DOTALL)
        assert 'name="viewport"' in html
    page = client.get("/console/login").text
    assert 'role="status"' in page
    assert re.search(r'<img id="code" alt="[^"]+"', page)
    assert page.count("<button") == page.count('type="button"') == 2


def test_the_address_of_the_code_is_not_repeated_on_the_page_it_opens(client):
    marked = client.get("/console/scan?ticket=<script>alert(1)</script>")
    assert marked.data == client.get("/console/scan").data


def test_the_script_keeps_nothing_and_calls_operations_that_exist(client):
    script = client.get("/console/login.js").text
    assert not re.search(
        r"localStorage|sessionStorage|document\.cookie|innerHTML|outerHTML|document\.write|eval\(", script
    )
    assert not re.search(r"=>|\blet\b|\bconst\b|`", script)  # what an old browser does not read
    served = {
        (operation.method, re.sub(r"\{\w+\}", "{}", operation.path))
        for api in APIS
        for operation in api.operations
    }
    called = {
        (method, re.sub(r'" \+ asked\.id \+ "', "{}", path).partition("?")[0])
        for method, path in re.findall(r'send\("(\w+)", "(/[^,]*)",', script)
    }
    called |= {("GET", path.partition("?")[0]) for path in re.findall(r'read\("(/[^"]+)"', script)}
    assert len(called) >= 6
    assert called <= served
    assert f'"{PREFIX}" + address' in script


def test_the_script_has_words_for_every_permission(client):
    script = client.get("/console/login.js").text
    words = re.search(r"PERMISSIONS = \{(.*?)\n  \};", script, re.DOTALL)
    assert words is not None
    assert set(re.findall(r"^    (\w+): \[", words[1], re.MULTILINE)) == {each.value for each in Permission}
