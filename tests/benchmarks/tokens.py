# ruff: noqa: T201 - a report is printed
"""``python -m tests.benchmarks.tokens``: what proving who calls costs, by algorithm, in one process.

µs of processor time, the least of several repetitions. “Verified before” is what nearly every request meets: a token lives for 15
minutes and serves many. “First time” is the whole way through flask-jwt-extended; PyJWT and the signature alone stand beside it.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
from functools import partial
from pathlib import Path

import jwt
from flask import Flask

from engage.app import create_app
from engage.core import clock, migrations
from engage.core.config import Settings, TokenAlgorithm
from engage.core.crypto import sha256
from engage.core.db import Database
from engage.identity import caller
from engage.identity.tokens import api_keys
from engage.orgs.caller import ShownKey, _owner_of, staff
from engage.orgs.models import Role
from tests import factories, reference
from tests.benchmarks.layers import cost

LIFE = timedelta(minutes=15)


def _verified_again(app: Flask) -> None:
    app.extensions[caller.SIGNING_KEYS].known().verified.clear()
    caller.guest.identify()


def of_algorithm(app: Flask, make: factories.Factory, algorithm: TokenAlgorithm) -> dict[str, float]:
    """Return what the tokens of an algorithm cost."""
    session = make.session(make.person().id)
    with app.app_context():
        issue = partial(caller.issue_access_token, session.person_id, session.id, LIFE)
        token = issue()
        found = {"issue": cost(issue)}
    key = app.extensions[caller.SIGNING_KEYS].known().signer(clock.now())
    with app.test_request_context("/", headers={"Authorization": f"Bearer {token}"}):
        found["first time"] = cost(partial(_verified_again, app))
        found["verified before"] = cost(caller.guest.identify)
    message, _, given = token.rpartition(".")
    signature = jwt.utils.base64url_decode(given)
    algorithms = jwt.algorithms.get_default_algorithms()
    found["PyJWT alone"] = cost(
        partial(
            jwt.decode,
            token,
            key.public,
            [algorithm.value],
            audience="engage-api",
            options={"verify_exp": False},
        )
    )
    found["signature alone"] = cost(
        partial(algorithms[algorithm.value].verify, message.encode(), key.public, signature)
    )
    return found


def of_key(app: Flask, make: factories.Factory, database: Database) -> dict[str, float]:
    """Return what an API key costs."""
    made, now = api_keys.new_key(), clock.now()
    make.api_key(make.staff(Role.OFFICER, org=make.org()), made, last_used_at=now)
    found: dict[str, float] = {}
    with app.test_request_context("/", headers={"Authorization": f"Bearer {made.text}"}):
        found["API key, its form and hash"] = cost(staff.identify)
        shown = ShownKey(made.public_id, sha256(made.text), None)
        with database.reading() as connection:
            found["API key, one statement"] = cost(partial(_owner_of, shown, connection, now))
    return found


def main() -> None:
    """Print the costs."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{Path(folder) / 'tokens.db'}", log_level="ERROR")
        database = Database(settings)
        with database.writer.connect() as connection:
            migrations.upgrade(connection)
            connection.commit()
        with database.transaction() as session:
            reference.seed_reference(session)
        print(
            f"{'':<18}{'issue':>10}{'first time':>14}{'PyJWT alone':>14}{'signature':>12}{'verified before':>18}"
        )
        for algorithm in TokenAlgorithm:
            app = create_app(settings.replace(token_algorithm=algorithm))
            found = of_algorithm(app, factories.Factory(database, app), algorithm)
            print(
                f"{algorithm:<18}{found['issue']:>10.0f}{found['first time']:>14.0f}{found['PyJWT alone']:>14.0f}"
                f"{found['signature alone']:>12.0f}{found['verified before']:>18.1f}"
            )
        for name, spent in of_key(app, factories.Factory(database, app), database).items():
            print(f"{name:<40}{spent:>8.1f}")
        database.dispose()


if __name__ == "__main__":
    sys.exit(main())
