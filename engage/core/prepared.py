"""Statements of hot paths: compiled once, prepared once by each connection, sent through the driver.

SQLAlchemy still writes the SQL, says what goes in and what comes out (its bind and result processors), owns the
connections and names the errors. What is left out is what it works out anew at each execution: the cache key of the
statement, the expansion of IN lists, an execution context, the description of the columns and a result with rows.
For a detail of 40 columns that is 350 against 80 µs (docs/performance.md).

On PostgreSQL libpq executes it in one call. A cursor of the driver sends, waits and reads in turn, and gives the
interpreter to another thread each time, some six times for a statement.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast, overload

from psycopg import OperationalError, errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engage.core.logging import count_statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg.pq.abc import PGresult
    from sqlalchemy import BindParameter, ClauseElement, Connection, Dialect, Executable
    from sqlalchemy.engine.default import DefaultDialect
    from sqlalchemy.sql.compiler import SQLCompiler

R = TypeVar("R", bound=tuple[Any, ...])
Convert = Callable[[Any], Any]
# What each connection keeps for each statement: the driver then knows the types already. The last results stay in
# memory, hence the bound.
_KEPT: Final = "engage.statements"
_MOST_KEPT: Final = 48
_PSYCOPG: Final = "psycopg"
_NUMBERS: Final = itertools.count(1)
_NOT_PREPARED: Final = b"26000"


class Prepared(Generic[R]):
    """A statement whose values are bound when it runs.

    Only what is named (``bindparam("me")``) is bound; all else becomes part of the SQL, so nothing that a caller sent
    may be written into the statement. It takes a Core statement, or one for each dialect (``{"postgresql": …, "sqlite": …}``). ``text()`` needs types
    for what it returns: ``text(…).columns(…)``. Rows are plain tuples, or of the NamedTuple given as ``row``.
    Lists of values cannot be bound, and defaults of columns are not filled in.
    """

    @overload
    def __init__(
        self: Prepared[tuple[Any, ...]], statement: Executable | Mapping[str, Executable]
    ) -> None: ...
    @overload
    def __init__(self, statement: Executable | Mapping[str, Executable], row: type[R]) -> None: ...
    def __init__(self, statement: Executable | Mapping[str, Executable], row: Any = None) -> None:
        self._statements = statement
        self._make: Convert | None = row._make if row else None
        self._plans: dict[str, _Plan] = {}

    def statement(self, dialect: str) -> Executable:
        """Return the SQLAlchemy statement for a dialect."""
        return self._statements[dialect] if isinstance(self._statements, Mapping) else self._statements

    def all(self, db: Session | Connection, values: Mapping[str, Any]) -> list[R]:
        """Run it and return the rows. Names in ``values`` that it does not use are left aside.

        On a session it takes part in the transaction, after what is waiting to be flushed.

        Raises:
            DBAPIError: as SQLAlchemy raises it.

        """
        if isinstance(db, Session):
            db.flush()
            db = db.connection()
        plan = self._plans.get(db.dialect.name)
        if plan is None:
            plan = _plan(self.statement(db.dialect.name), db.dialect, self._make)
            self._plans[db.dialect.name] = plan
        return _fetch(db, plan, plan.parameters(values))

    def one_or_none(self, db: Session | Connection, values: Mapping[str, Any]) -> R | None:
        """Run it and return its only row, or None when there is none."""
        rows = self.all(db, values)
        if not rows:
            return None
        (row,) = rows
        return row


@dataclass
class _Plan:
    """What is known about a statement on one dialect."""

    number: int  # names it at the server
    sql: str
    given: list[tuple[str, Convert | None]]
    columns: list[Any]
    dialect: Dialect
    make: Convert | None
    unpack: Convert | None = None

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        return [values[name] if convert is None else convert(values[name]) for name, convert in self.given]

    def learn(self, description: Any) -> Convert:
        """Write the function from fetched rows to finished ones; the driver names the types of the columns."""
        scope: dict[str, Any] = {"make": self.make}
        finished = []
        for index, (column, described) in enumerate(zip(self.columns, description, strict=True)):
            convert = column.type.dialect_impl(self.dialect).result_processor(self.dialect, described[1])
            scope[f"c{index}"] = convert
            finished.append(f"v{index}" if convert is None else f"c{index}(v{index})")
        fetched = ", ".join(f"v{index}" for index in range(len(finished)))
        row = f"({', '.join(finished)},)"
        source = f"lambda rows: [{f'make({row})' if self.make else row} for {fetched}, in rows]"
        self.unpack = eval(source, scope)  # noqa: S307 - made of numbers
        return self.unpack


def _compiler(base: Any) -> Any:
    class Compiler(base):  # type: ignore[misc]
        """Writes what is fixed into the SQL, and binds only what differs.

        PostgreSQL plans a statement that it has seen often without looking at what is bound: it would then not know
        that ``state <> $1`` is the condition of a partial index. SQLite never looks.
        """

        def visit_bindparam(self, bindparam: BindParameter[Any], **options: Any) -> str:
            options["literal_binds"] = not bindparam.required
            sql: str = super().visit_bindparam(bindparam, **options)
            return sql

    return Compiler


def _plan(statement: Any, dialect: Dialect, make: Convert | None) -> _Plan:
    words: Any = dialect
    if dialect.driver == _PSYCOPG:
        words = cast("type[DefaultDialect]", type(dialect))(paramstyle="numeric_dollar")
    compiled: SQLCompiler = _compiler(dialect.statement_compiler)(words, statement)
    if compiled.insert_prefetch or compiled.update_prefetch:
        raise TypeError("a prepared statement names every column; defaults are not filled in")
    if any(bind.expanding for bind in compiled.bind_names):
        raise TypeError("a prepared statement has no list of values that is bound when it runs")
    converters = {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect)
        for bind, name in compiled.bind_names.items()
    }
    return _Plan(
        number=next(_NUMBERS),
        sql=str(compiled),
        given=[(name, converters[name]) for name in compiled.positiontup or ()],
        columns=_columns(statement),
        dialect=dialect,
        make=make,
    )


def _columns(statement: Any) -> list[ClauseElement]:
    return list(statement.exported_columns) if statement.is_select or statement.is_dml else []


class _Sent(Protocol):
    """A statement on one connection: a cursor, or what stands for one."""

    @property
    def description(self) -> Any: ...
    def execute(self, sql: str, parameters: Any, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class _AtOnce:
    """A statement prepared on a connection of psycopg: sent, waited for and read by libpq."""

    def __init__(self, connection: psycopg.Connection[Any], plan: _Plan) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._name = b"engage_%d" % plan.number
        self._transformer = Transformer(connection)
        self._formats = [PyFormat.TEXT] * len(plan.given)
        self._prepare(plan.sql)

    @property
    def description(self) -> list[tuple[str, int]]:
        return [("", self._result.ftype(index)) for index in range(self._result.nfields)]

    def execute(self, sql: str, parameters: Sequence[Any], /) -> None:
        self._begin()
        values: Any = self._transformer.dump_sequence(parameters, self._formats)
        result = self._pgconn.exec_prepared(self._name, values)
        if result.error_field(DiagnosticField.SQLSTATE) == _NOT_PREPARED and self._connection.autocommit:
            # Any more: somebody said DEALLOCATE ALL.
            self._prepare(sql)
            result = self._pgconn.exec_prepared(self._name, values)
        self._result = self._checked(result)

    def forget(self) -> None:
        """Let the server forget the statement, if it has not yet."""
        result = self._pgconn.exec_(b"DEALLOCATE " + self._name)
        if result.error_field(DiagnosticField.SQLSTATE) != _NOT_PREPARED:
            self._checked(result)

    def fetchall(self) -> list[Any]:
        self._transformer.set_pgresult(self._result)
        return self._transformer.load_rows(0, self._result.ntuples, tuple)

    def _begin(self) -> None:
        """Begin the transaction that the driver would begin with its first statement."""
        if not self._connection.autocommit and self._pgconn.transaction_status == TransactionStatus.IDLE:
            self._checked(self._pgconn.exec_(b"BEGIN"))

    def _prepare(self, sql: str) -> None:
        self._begin()
        self._result = self._checked(self._pgconn.prepare(self._name, sql.encode()))

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return result
        if self._pgconn.status != ConnStatus.BAD and result.error_field(DiagnosticField.SQLSTATE):
            raise errors.error_from_result(result)
        self._pgconn.finish()  # no words of the server: it is out of reach, even where libpq has not noticed yet
        raise OperationalError(result.get_error_message())


def _fetch(connection: Connection, plan: _Plan, parameters: Any) -> list[Any]:
    pooled = connection.connection
    kept: dict[str, _Sent] = pooled.info.setdefault(_KEPT, {})
    sent: Any = None
    try:
        sent = kept.get(plan.sql) or _sent(connection, plan, kept)
        count_statement()
        for listener in connection.engine.dispatch.before_cursor_execute:
            listener(connection, sent, plan.sql, parameters, None, False)
        sent.execute(plan.sql, parameters)
        rows = sent.fetchall() if plan.columns else []
    except connection.dialect.loaded_dbapi.Error as error:
        raise _named(connection, sent, plan, parameters, error) from error
    if not rows:
        return rows
    return (plan.unpack or plan.learn(sent.description))(rows)  # type: ignore[no-any-return]


def _sent(connection: Connection, plan: _Plan, kept: dict[str, _Sent]) -> _Sent:
    """Return a statement as this connection sends it from now on; the oldest makes room for it."""
    driver: Any = connection.connection.dbapi_connection
    if len(kept) >= _MOST_KEPT:
        sql, oldest = next(iter(kept.items()))
        if isinstance(oldest, _AtOnce):
            oldest.forget()
        del kept[sql]
    sent = _AtOnce(driver, plan) if connection.dialect.driver == _PSYCOPG else driver.cursor()
    kept[plan.sql] = sent
    return sent


def _named(connection: Connection, cursor: Any, plan: _Plan, parameters: Any, error: Any) -> BaseException:
    """Return a driver's error as SQLAlchemy names it; a lost connection takes the idle ones of its pool with it."""
    lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
    if lost:
        connection.invalidate(error)
        connection.engine.dispose()
    named: BaseException = DBAPIError.instance(
        plan.sql,
        parameters,
        error,
        connection.dialect.loaded_dbapi.Error,
        hide_parameters=connection.engine.hide_parameters,
        connection_invalidated=lost,
        dialect=connection.dialect,
    )
    return named
