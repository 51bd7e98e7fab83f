"""The use cases of the service, called with the people and the time of the story instead of a request's."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engage.core.db import Look, Work

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from engage.core.db import Database
    from engage.demo.people import Resident


class Inside(Look):
    """A Look inside a transaction that is running already: what it writes is part of that."""

    def atomic(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True, slots=True)
class Stage:
    """One transaction, the people, and the present."""

    database: Database
    session: Session
    people: Mapping[str, Resident]
    now: datetime

    def work(self, actor: Resident, at: datetime) -> Work:
        """Return the Work of somebody at some time."""
        return Work(self.session, actor, at, self.database.settings)

    def look(self, actor: Resident, at: datetime) -> Look:
        """Return the Look of somebody at some time."""
        return Inside(self.session.connection(), actor, at, self.database)
