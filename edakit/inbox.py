"""An inbox on a SQLite database: an event's id is committed together with what its handler writes, so that a kill -9 leaves both or neither.

Source:
    "Handling duplicate messages" in Richardson (2018), Microservices Patterns, section 3.3.6; Helland (2012), "Idempotence Is Not a Medical
    Condition", ACM Queue 10(4).
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from weakref import finalize

from edakit.checks import choice
from edakit.delivery import Inbox, Repeated
from edakit.errors import ForkedError, InboxError, InvalidValueError
from edakit.events import SOURCE, Context
from edakit.transports.sqlite_file import File
from edakit.transports.sqlite_schema import APPLICATION

__all__ = ["DatabaseInbox", "Transaction"]

# The number counts the events of a component, so that the oldest ids can be told.
_TABLE: Final = """CREATE TABLE IF NOT EXISTS edakit_inbox (component TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (component, source, id), UNIQUE (component, number)) WITHOUT ROWID"""
_KNOWN: Final = "SELECT 1 FROM edakit_inbox WHERE component = ? AND source = ? AND id = ?"
_ADD: Final = "INSERT OR IGNORE INTO edakit_inbox SELECT ?, ?, ?, 1 + coalesce(max(number), 0) FROM edakit_inbox WHERE component = ?"
_FORGET: Final = "DELETE FROM edakit_inbox WHERE component = ? AND number <= (SELECT max(number) FROM edakit_inbox WHERE component = ?) - ?"
_ENDS: Final = re.compile(r"\s*(BEGIN|COMMIT|END|ROLLBACK(?!\s+(TRANSACTION\s+)?TO\b))\b", re.IGNORECASE)


class Transaction:
    """What a handler writes with: committed with the event's id when the handler returns, undone when it raises.

    Attributes:
        connection: Where it writes; None when the handler has returned.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection: sqlite3.Connection | None = connection

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        """Run one statement, with its values; return a cursor with its rows, as `sqlite3.Connection.execute` does.

        Raises:
            sqlite3.Error: the statement fails.
            InvalidValueError: the statement would end the transaction, the handler has returned, or SQLite has undone the transaction after an error.
        """
        if _ENDS.match(statement):
            raise InvalidValueError("the statement", statement, "none that begins or ends a transaction: returning commits, raising an exception rolls back")
        if self.connection is None or not self.connection.in_transaction:
            # Some errors undo the transaction: what follows would be committed at once, without the id.
            raise InvalidValueError("context.transaction", "over", "it its statements before the handler returns, and let SQLite's errors pass")
        return self.connection.execute(statement, values)


class DatabaseInbox(Inbox):
    """Ids of handled events in a SQLite file, each committed in one transaction with what its handler writes there: effectively once.

    A handler reads and writes with `context.transaction`. Its effect and the event's id are committed together, before the ack. A repeated event
    is acked and its handler does not run, also when both deliveries happen at the same time. A handler that raises leaves neither.

        stock = Component("stock", inbox=DatabaseInbox("stock.db"))

        @stock.on(OrderPlaced)
        def reserve(event, context):
            context.transaction.execute("UPDATE stock SET pieces = pieces - ? WHERE product_id = ?", (event.quantity, event.product_id))

    Threads and processes may share one file, and each component has its own ids. Handlers of one file run one at a time: whatever is slow
    belongs into a component without it. A second connection to the file that a handler opens, to write with, would wait for that handler.
    A database that is locked, or a full disk, is no failure of the handler: its event is tried again until the database can be used.

    The guarantee covers what is written with `context.transaction`. What a handler publishes goes out at once: when the process dies before the
    commit it is published again, under another id. A mail that was sent is sent again.

    An event that comes again after *size* others of its component were handled is handled again. Let *size* exceed the highest rate [1/s]
    times the longest time after which a delivery can be repeated [s]. An id takes about 80 bytes of the file. In virtual time ids come from
    the app's seed, and another run makes the same ones: give each run a file of its own.

    Args:
        path: The SQLite file; made if it is not there. Not the file of a `sqlite://` broker: a handler that publishes would wait for itself.
        size: How many ids to remember for each component [events].
        sync: "full" survives a power cut and waits for the disk at each commit; "normal" survives kill -9 only, and is faster.

    Raises:
        InvalidValueError: an argument is outside of what makes sense.
    """

    def __init__(self, path: str | os.PathLike[str], size: int = 1_000_000, *, sync: str = "full") -> None:
        super().__init__(size)
        if not isinstance(path, str | os.PathLike) or not os.fspath(path) or os.fspath(path).startswith(":"):
            raise InvalidValueError("path", path, "the name of a file; for ids in memory use Inbox()")
        choice("sync", sync, "full", "normal")
        self.path, self.sync = Path(os.path.realpath(path)), sync
        self._file: _Database | None = None

    def open(self) -> _Database:
        """Open the file, unless this was done; an app does it when it begins to serve the component.

        Raises:
            InboxError: it cannot be used, with the reason.
            ForkedError: another process opened it, of which this one is a fork.
        """
        if self._file is None:
            self._file = _Database(self.path, self.sync)
            self._finalizer = finalize(self, self._file.close)
        self._file.check()
        return self._file

    def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
        if self._file is not None:
            self._finalizer()
            self._file = None

    def knows(self, delivery: Context) -> bool:
        """Whether the event of *delivery* was handled, as far as can be told without a transaction."""
        # This only saves the wait for the transaction, which looks again; what goes wrong here is told there.
        with self.open().lock, suppress(sqlite3.Error):
            return super().knows(delivery) or self.open().connection.execute(_KNOWN, _identity(delivery)).fetchone() is not None
        return False

    def handled(self, delivery: Context) -> None:
        """Do nothing: the id was committed with the handler's effect."""

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* inside of a transaction.

        Raises:
            InvalidValueError: it is an `async def`: while it awaits, another handler would write into its transaction.
        """
        if inspect.iscoroutinefunction(function):
            raise InvalidValueError("a handler", f"async def {function.__name__}", "a plain def: a transaction on a database cannot stay open over an await")
        return functools.update_wrapper(functools.partial(self._once, function), function)

    def _once(self, function: Callable[..., Any], event: Any, context: Context) -> None:
        """Have the event handled in one transaction with its id; raise `Repeated` if another delivery of it was."""
        file, name = self.open(), context.component

        def work(connection: sqlite3.Connection) -> None:
            if not connection.execute(_ADD, (*_identity(context), name)).rowcount:
                raise Repeated
            connection.execute(_FORGET, (name, name, self.size))
            transaction = context.unit_of_work = Transaction(connection)
            try:
                function(event, context)
                transaction.execute("SELECT 1")  # raises if SQLite has undone it, and the handler has not let that error pass
            except sqlite3.Error as error:
                # Not the handler's fault, as SQLITE_CONSTRAINT and SQLITE_ERROR are: explained by the file.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
                    raise
                raise _FailedError from error
            finally:
                transaction.connection = None

        with file.lock:
            if file.connection.in_transaction:
                raise InvalidValueError("an app that runs inside of a handler", name, "it an inbox on another file")
            try:
                file.write(work)
            except _FailedError as failed:
                raise failed.__cause__ or failed from None


def _identity(context: Context) -> tuple[str, str, str]:
    # An id is unique for its source only: CloudEvents 1.0.2, section "id".
    return context.component, context.headers[SOURCE], context.id


class _FailedError(Exception):
    """Carries what SQLite said to the handler past the errors of the file, which are explained."""


class _Database(File):
    """A user's SQLite file, with one more table."""

    def close(self) -> None:
        """Close it; in a forked process nothing is touched: it is the parent's."""
        if self.process == os.getpid():
            self.opened.pop((str(self.path), f"inbox {id(self)}"), None)
            with self.lock:
                self.connection.close()

    def explained(self, error: sqlite3.Error) -> InboxError:
        """Return what *error* means to whose events are handled."""
        found = super().explained(error)
        return InboxError(f"inbox {str(self.path)!r}", found.problem, f"{found.advice.partition(', then ')[0]}; nothing was written")

    def _prepare(self) -> None:
        if parents := self._inherited.get(str(self.path)):
            raise ForkedError(parents.name, parents.process, self.process)
        if self._pragma("application_id") == APPLICATION:
            raise InboxError(f"inbox {str(self.path)!r}", "this is the file of a sqlite:// broker", "name another file, or publishing waits for itself")
        for pragma in ("journal_mode=wal", f"synchronous={self.sync}"):
            self._patiently(lambda pragma=pragma: self.connection.execute(f"PRAGMA {pragma}").fetchall())  # type: ignore[misc]
        self.write(lambda connection: connection.execute(_TABLE))
        self.opened[str(self.path), f"inbox {id(self)}"] = self  # so that a forked process knows
