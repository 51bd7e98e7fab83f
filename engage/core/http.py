"""The one way to declare an operation: caller, input, transaction, output and document in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from flask import current_app, request

from engage.core import audit, clock, idempotency
from engage.core.arguments import arguments_of, sent, stated_purpose
from engage.core.db import Database, Errand, Look, Nobody, Work
from engage.core.errors import DomainError
from engage.core.limits import weighing_refusals
from engage.core.lockout import guarded
from engage.core.logging import current
from engage.core.replies import answered, empty, problem_response, repeated, this_request
from engage.core.wire import dumper, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from flask import Flask
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from engage.core.limits import Limiter
    from engage.core.lockout import Gate
    from engage.core.logging import Trace
    from engage.core.replies import Answer
    from engage.core.schemas import In, Out, Query

PREFIX: Final = "/v1"
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
# Who calls for themselves. Whoever else there is uses a right over others, and the audit log tells of it.
_FOR_THEMSELVES: Final = frozenset({"public", "guest", "member"})


class Access(Protocol):
    """Who may call. ``identify`` looks at the request only; ``load`` may ask the database.

    ``needs_privilege``: only in a session in which the second factor was shown a short while ago.
    ``gate`` counts what is shown that is not good.
    """

    name: str
    needs_privilege: bool
    refusals: tuple[type[DomainError], ...]
    gate: Gate | None

    def identify(self) -> Any: ...
    def load(self, db: Connection | Session, identity: Any, now: datetime) -> Any: ...


class _Public:
    """Open to all, and the same for all: whatever is shown only says by whom the request is counted."""

    name = "public"
    needs_privilege = False
    refusals: tuple[type[DomainError], ...] = ()
    gate: Gate | None = None

    def identify(self) -> None:
        return None

    def load(self, _db: Connection | Session, _identity: Any, _now: datetime) -> Nobody:
        return Nobody()


public: Final = _Public()


class Mode(Enum):
    """How an operation meets the database."""

    READ = auto()  # a Look on the AUTOCOMMIT engine
    WRITE = auto()  # a Work in one transaction
    STATEMENT = auto()  # a Look; the use case writes in one statement, or one transaction, of its own
    ERRAND = auto()  # an Errand; the use case opens its own short transactions


@dataclass(frozen=True, slots=True)
class Binary:
    """An answer that is a file and not JSON: the view returns its bytes. ``example`` is the beginning of one that is text."""

    media_type: str
    file_name: str
    example: str | None = None

    @property
    def content_type(self) -> str:
        is_text = self.media_type.startswith("text/")
        return f"{self.media_type}; charset=utf-8" if is_text else self.media_type


class IfMatch(Enum):
    """That an operation takes ``If-Match`` without demanding it: whether it is needed depends on the object."""

    OPTIONAL = auto()


@dataclass(frozen=True)
class Operation:
    """One declared operation; the service, the document and the tests all read this."""

    method: str
    path: str
    view: Callable[..., Any]
    access: Access
    zh: str
    tag: str
    query: type[Query] | None
    body: type[In] | None
    returns: type[Out] | None
    binary: Binary | None
    status: int
    refuses: tuple[type[DomainError], ...]
    mode: Mode
    idempotent: bool
    if_match: bool | IfMatch
    cache: str | None
    location: str | None
    tag_from: str | None
    audited: bool
    people: Callable[[Any, Any], int] | None
    tells: tuple[type[DomainError], ...]
    gate: Gate | None

    @property
    def told(self) -> tuple[type[DomainError], ...]:
        """Return the refusals that the audit log tells of: all, where it tells of the uses."""
        return (DomainError,) if self.is_of_staff or self.audited else self.tells

    @property
    def is_of_staff(self) -> bool:
        return self.access.name not in _FOR_THEMSELVES

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def path_parameters(self) -> list[str]:
        return _PATH_PARAMETER.findall(self.path)

    @property
    def rule(self) -> str:
        return PREFIX + _PATH_PARAMETER.sub(r"<\1>", self.path)


@dataclass
class Api:
    """The operations of one feature. ``tag`` is the Chinese and English heading in the document."""

    tag: str
    operations: list[Operation] = field(default_factory=list)

    def operation(
        self,
        method: str,
        path: str,
        *,
        access: Access,
        zh: str,
        query: type[Query] | None = None,
        body: type[In] | None = None,
        returns: type[Out] | None = None,
        binary: Binary | None = None,
        status: int = 200,
        refuses: Sequence[type[DomainError]] = (),
        mode: Mode | None = None,
        idempotent: bool = False,
        if_match: bool | IfMatch = False,
        cache: str | None = None,
        location: str | None = None,
        tag_from: str | None = None,
        audited: bool | None = None,
        people: Callable[[Any, Any], int] | None = None,
        tells: Sequence[type[DomainError]] = (),
        gate: Gate | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare an operation.

        Args:
            method: GET, PUT, POST or DELETE (a mini program cannot send PATCH).
            path: below ``/v1``, with ``{hub_id}`` for parameters; names ending in ``_id`` are UUIDs.
            access: who may call; there is no default.
            zh: the summary in Chinese; the first line of the docstring is the English one.
            query: schema of the query string, passed as ``query``.
            body: schema of the JSON body, passed as ``body``.
            returns: schema of the answer; without it and ``binary`` the answer is 204.
            binary: the answer of a GET is a file of this kind.
            status: status of success.
            refuses: refusals of the use case, for the document.
            mode: how it meets the database; GET reads, everything else writes.
            idempotent: honours ``Idempotency-Key``.
            if_match: demands ``If-Match``, or takes it when ``OPTIONAL``; the view gets ``version`` (None for ``*`` or nothing).
            cache: ``Cache-Control`` of an answer that carries an ETag; None sends no ETag and ``no-store``. Answers about a person have
                ``NO_STORE``: no cache may keep them, but a client that holds one in its memory may ask whether it has changed.
            location: path of the created object, filled from the answer.
            tag_from: field of the answer that is its ETag.
            audited: each use is an entry of the audit log, in the transaction of its effect; what staff write always is.
            people: the answer of a GET shows staff personal data of others, which is an entry too: counts them, given who calls and the
                answer. Whoever calls for themselves and meets nobody else leaves none.
            tells: refusals of an operation of members that are entries: whoever meets one has reached for what is another's.
            gate: failures of it are counted, and lead to a lock-out; by default that of the access.

        """
        if method not in ("GET", "PUT", "POST", "DELETE"):
            raise ValueError(f"{method} is not sent by mini programs")

        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            default = Mode.READ if method == "GET" else Mode.WRITE
            by_staff = method != "GET" and access.name not in _FOR_THEMSELVES
            self.operations.append(
                Operation(
                    method=method, path=path, view=view, access=access, zh=zh, tag=self.tag, query=query, body=body,
                    returns=returns, binary=binary, status=status if returns or binary else 204, refuses=tuple(refuses), mode=mode or default,
                    idempotent=idempotent, if_match=if_match, cache=cache, location=location, tag_from=tag_from,
                    audited=by_staff if audited is None else audited, people=people, tells=tuple(tells),
                    gate=gate or access.gate,
                )
            )  # fmt: skip
            return view

        return declare

    def register(self, app: Flask) -> None:
        """Serve the operations."""
        for operation in self.operations:
            app.add_url_rule(
                operation.rule,
                operation.name,
                _serve(operation, app),
                methods=[operation.method],
                strict_slashes=False,
            )


def _serve(operation: Operation, app: Flask) -> Callable[..., Answer]:
    dump = dumper(operation.returns) if operation.returns else None
    run = {Mode.WRITE: _write, Mode.ERRAND: _run_errand}.get(operation.mode, _read)
    if operation.people:
        run = _show_people
    if operation.told:
        run = weighing_refusals(audit.telling_of_refusals(run), _limiter)
    if operation.gate:
        run = guarded(run, operation.gate)

    def serve(**path: str) -> Answer:
        parts = app.extensions
        database: Database = parts["engage.database"]
        try:
            identity = _admit(operation, parts["engage.limiter"], current.get())
            arguments = arguments_of(operation, path)
            return run(operation, dump, database, identity, arguments)
        except DomainError as refusal:
            return problem_response(refusal)

    return serve


def _limiter() -> Limiter:
    limiter: Limiter = current_app.extensions["engage.limiter"]
    return limiter


def _admit(operation: Operation, limiter: Limiter, trace: Trace) -> Any:
    """Return who calls, once the request is counted."""
    try:
        identity = trace.caller = operation.access.identify()
    except DomainError:
        limiter.admit_stranger(trace)
        raise
    limiter.admit(trace, identity)
    return identity


def _read(
    operation: Operation,
    dump: Callable[[Any], Any] | None,
    database: Database,
    identity: Any,
    arguments: dict[str, Any],
) -> Answer:
    with database.reading() as connection:
        now = clock.now()
        actor = operation.access.load(connection, identity, now)
        result = operation.view(Look(connection, actor, now, database), **arguments)
    return _answer_result(operation, dump, result)


def _show_people(
    operation: Operation,
    dump: Callable[[Any], Any] | None,
    database: Database,
    identity: Any,
    arguments: dict[str, Any],
) -> Answer:
    """Read, and leave an entry before the answer leaves."""
    purpose = stated_purpose()
    with database.reading() as connection:
        now = clock.now()
        actor = operation.access.load(connection, identity, now)
        result = operation.view(Look(connection, actor, now, database), **arguments)
    payload = dump(result) if dump else result
    people = operation.people(actor, payload) if operation.people else 0
    if people or operation.is_of_staff:
        with database.transaction() as session:
            audit.record_use(operation, session, now, actor, arguments, people=people, purpose=purpose)
    return _answer_payload(operation, payload)


def _run_errand(
    operation: Operation,
    dump: Callable[[Any], Any] | None,
    database: Database,
    identity: Any,
    arguments: dict[str, Any],
) -> Answer:
    with database.reading() as connection:
        actor = operation.access.load(connection, identity, clock.now())
    result = operation.view(Errand(database, actor, database.settings), **arguments)
    return _answer_result(operation, dump, result)


def _answer_result(operation: Operation, dump: Callable[[Any], Any] | None, result: Any) -> Answer:
    if dump is None and not operation.binary:
        return empty()
    return _answer_payload(operation, dump(result) if dump else result)


def _answer_payload(operation: Operation, payload: Any) -> Answer:
    if operation.binary:
        return _answer_binary(operation, operation.binary, payload)
    return _answer(operation, payload, encode(payload))


def _answer_binary(operation: Operation, binary: Binary, body: bytes) -> Answer:
    answer = answered(body, operation.status, cache_control=operation.cache, media_type=binary.content_type)
    answer.headers.append(("Content-Disposition", f'inline; filename="{binary.file_name}"'))
    return answer


def _write(
    operation: Operation,
    dump: Callable[[Any], Any] | None,
    database: Database,
    identity: Any,
    arguments: dict[str, Any],
) -> Answer:
    key = request.headers.get("Idempotency-Key") if operation.idempotent else None
    if key is not None:
        idempotency.check_key(key)
        request_print = idempotency.fingerprint(request.method, request.full_path, sent(this_request()))
    with database.transaction() as session:
        now = clock.now()
        work = Work(session, operation.access.load(session, identity, now), now, database.settings)
        if key is not None:
            kept = idempotency.earlier_answer(work, key, request_print)
            if kept is not None:
                if operation.is_of_staff:
                    idempotency.ask_again(operation, work, arguments, kept)
                return repeated(kept.body, kept.status, kept.location)
        if operation.audited:
            audit.watch(session)
        result = operation.view(work, **arguments)
        payload = dump(result) if dump else None
        body = encode(payload) if dump else b""
        if operation.audited:
            made = payload["id"] if payload and operation.status == HTTPStatus.CREATED else None
            audit.record_use(operation, session, now, work.actor, arguments, made)
        if key is not None:
            idempotency.keep_answer(
                work, key, request_print, operation.status, _location(operation, payload), body
            )
    return _answer(operation, payload, body) if dump else empty()


def _location(operation: Operation, payload: Any) -> str | None:
    return PREFIX + operation.location.format_map(payload) if operation.location else None


def _answer(operation: Operation, payload: Any, body: bytes) -> Answer:
    version = payload.get("version", 0) if isinstance(payload, dict) else 0
    location = _location(operation, payload)
    answer = answered(
        body, operation.status, cache_control=operation.cache, version=version, location=location
    )
    if operation.tag_from:
        answer.headers.append(("ETag", payload[operation.tag_from]))
    return answer
