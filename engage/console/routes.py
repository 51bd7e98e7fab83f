"""Health, the OpenAPI document, and pages for browsers. Not operations: no caller, no schema."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, current_app, redirect
from flask_swagger_ui import get_swaggerui_blueprint

from engage.core import openapi, schema
from engage.core.errors import DatabaseBusy
from engage.core.headers import POLICY
from engage.core.replies import JSON, Page
from engage.core.wire import encode

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as BaseResponse

    from engage.core.db import Database

blueprint: Final = Blueprint("console", __name__)
blueprint.register_blueprint(
    get_swaggerui_blueprint(
        "/docs",
        "/openapi.json",
        # The latter too, or it would be made from the Host that the browser sent.
        config={
            "app_name": "engage",
            # Without the bar on top: its logo brings a style that the policy stops, and its address leads to documents of others.
            "layout": "BaseLayout",
            "validatorUrl": None,
            "oauth2RedirectUrl": "/docs/oauth2-redirect.html",
        },
    ),
    url_prefix="/docs",
)
_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@blueprint.after_request
def _allow_what_the_page_needs(response: Response) -> Response:
    """Give a page that says nothing itself its own files and the scripts that stand in it, each by its hash, and nothing else."""
    has_own = POLICY in response.headers or response.direct_passthrough
    if response.mimetype == "text/html" and not has_own:
        response.headers[POLICY] = _policy(response.get_data(as_text=True))
    return response


_PAGES: Final = Path(__file__).parent / "pages"
# What is served here is all that a page runs, and it speaks to nobody else; nobody frames it.
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@cache
def _page(name: str) -> bytes:
    return (_PAGES / name).read_bytes()


def _shown(name: str, mimetype: str) -> Response:
    response = Page(_page(name), mimetype=mimetype)
    response.headers.update(_PAGE_HEADERS)
    return response


@cache
def _document() -> dict[str, Any]:
    document = openapi.build(current_app.extensions["engage.operations"], version("engage"))
    # What a reader tries out goes to the service that they read about; the file in the repository has to name an example.
    return document | {"servers": [{"url": "/"}]}


@blueprint.get("/openapi.json")
def openapi_json() -> Response:
    """Return the OpenAPI document as JSON."""
    return Page(encode(_document()), mimetype=JSON)


@blueprint.get("/openapi.yaml")
def openapi_yaml() -> Response:
    """Return the OpenAPI document as YAML."""
    return Page(openapi.as_yaml(_document()), mimetype="application/yaml")


@blueprint.get("/")
@blueprint.get("/docs")
def start() -> BaseResponse:
    """Lead a browser to the documentation."""
    return redirect("/docs/")


@blueprint.get("/console/login")
def login_page() -> Response:
    """Return the page on which staff log in with their phone."""
    return _shown("login.html", "text/html")


@blueprint.get("/console/login.js")
def login_script() -> Response:
    """Return the script of that page."""
    return _shown("login.js", "text/javascript")


@blueprint.get("/console/login.css")
def login_style() -> Response:
    """Return the style of these pages."""
    return _shown("login.css", "text/css")


@blueprint.get("/console/scan")
def scan_page() -> Response:
    """Return what a phone shows that opened the QR code in a browser. It does not look at what stands in the address."""
    return _shown("scan.html", "text/html")


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return Page(encode({"status": "ok"}), mimetype=JSON)


@blueprint.get("/readyz")
def readyz() -> Response:
    """Say whether the database is reachable and at the newest migration.

    Raises:
        DatabaseBusy: it is not.

    """
    database: Database = current_app.extensions["engage.database"]
    with database.reading() as connection:
        if not schema.is_at_head(connection):
            raise DatabaseBusy
    return Page(encode({"status": "ready"}), mimetype=JSON)


@lru_cache(maxsize=8)
def _policy(page: str) -> str:
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in _INLINE.findall(page)
    )
    scripts = " ".join(["'self'", *(f"'sha256-{each}'" for each in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
