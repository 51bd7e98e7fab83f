"""Health, the OpenAPI document and the page that shows it. Not operations: no caller, no schema."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, current_app, redirect
from flask_swagger_ui import get_swaggerui_blueprint

from engage.core import openapi, schema
from engage.core.errors import DatabaseBusy
from engage.core.headers import POLICY
from engage.core.replies import JSON
from engage.core.wire import encode

if TYPE_CHECKING:
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
            "validatorUrl": None,
            "oauth2RedirectUrl": "/docs/oauth2-redirect.html",
        },
    ),
    url_prefix="/docs",
)
_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@blueprint.after_request
def _allow_what_the_page_needs(response: Response) -> Response:
    """Give a page its own files and the scripts that stand in it, each by its hash, and nothing else."""
    if response.mimetype == "text/html" and not response.direct_passthrough:
        response.headers[POLICY] = _policy(response.get_data(as_text=True))
    return response


@cache
def _document() -> dict[str, Any]:
    return openapi.build(current_app.extensions["engage.operations"], version("engage"))


@blueprint.get("/openapi.json")
def openapi_json() -> Response:
    """Return the OpenAPI document as JSON."""
    return Response(encode(_document()), mimetype=JSON)


@blueprint.get("/openapi.yaml")
def openapi_yaml() -> Response:
    """Return the OpenAPI document as YAML."""
    return Response(openapi.as_yaml(_document()), mimetype="application/yaml")


@blueprint.get("/")
def start() -> BaseResponse:
    """Lead a browser to the documentation."""
    return redirect("/docs/")


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return Response(encode({"status": "ok"}), mimetype=JSON)


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
    return Response(encode({"status": "ready"}), mimetype=JSON)


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
