"""One SQLite file that several processes use at the same time: one connection a process, transactions, and errors that say what to do."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from edakit.errors import BrokerError, ClosedError, ForkedError
from edakit.transports.sqlite_schema import APPLICATION, TABLES, VERSION

__all__ = ["PATIENCE", "File"]

_T = TypeVar("_T")

PATIENCE: Final = 10.0
"""How long to wait for another program that has locked the file [s]."""

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: ("another program has locked it and did not let go", "close that program (a database browser, a backup), then try again"),
    sqlite3.SQLITE_FULL: ("the disk is full", "make room, then publish again: nothing was written, and what was there is safe"),
    sqlite3.SQLITE_READONLY: ("it may be read but not written", "give yourself the right to write the file and its folder, or name another file"),
    sqlite3.SQLITE_NOTADB: ("it is a file, but no SQLite database", "name another file"),
    sqlite3.SQLITE_CORRUPT: ("its content is damaged", "restore it from a copy, or name another file"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "make sure that its folder is there and that you may write to it"),
    sqlite3.SQLITE_IOERR_WRITE: (
        "nothing more can be written to it: a quota, a limit on the size of files, or a fault of the disk",
        "make room or raise the limit (ulimit -f), then publish again: nothing was written, and what was there is safe",
    ),
    sqlite3.SQLITE_IOERR: ("the disk does not answer as it should", "look after the disk, or name a file on another one"),
}


class File:
    """A SQLite file, opened once in this process however many use it. Any thread may call any method.

    Attributes:
        lock: Held while the connection is used; SQLite has one writer at a time anyway.
        listeners: Functions to call when something arrives in a queue, by the queue's number.
        consumers: Who takes messages from the file in this process.
        keeper: What works in the background for them; set by who needs it.
        troubled_at: When a consumer found that the file cannot be used [s of the monotonic clock]; None if all is well.
    """

    opened: ClassVar[dict[tuple[str, str], File]] = {}
    # Re-entrant: a finalizer may release a file while this very thread opens one.
    _opening = threading.RLock()
    _inherited: ClassVar[dict[str, File]] = {}

    def __init__(self, path: Path, sync: str) -> None:
        self.path, self.sync, self.users = path, sync, 0
        self.name = f"sqlite:///{path}"
        self.process = os.getpid()
        self.lock = threading.RLock()
        self.listeners: dict[int, list[Callable[[], None]]] = {}
        self.consumers: dict[Any, None] = {}
        self.keeper: Any = None
        self.troubled_at: float | None = None
        self._version = -1
        self._there: os.stat_result | None = None
        try:
            self.connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=200)
        except sqlite3.Error as error:
            raise self.explained(error) from error
        self.closed = False
        try:
            self._prepare()
            self._there = path.stat()
        except BaseException:
            self.closed = True
            self.connection.close()
            raise

    @classmethod
    def open(cls, path: str, sync: str = "normal") -> File:
        """Return the file, opened by this process already or now; each `open` needs one `release`.

        Raises:
            BrokerError: it cannot be used, with the reason.
            ForkedError: the process that this one was forked from had it open. SQLite would believe to have locks that only the parent has,
                and lose what is written here when the parent closes (measured with SQLite 3.40).
        """
        whole = Path(os.path.realpath(path))
        if parents := cls._inherited.get(str(whole)):
            raise ForkedError(parents.name, parents.process, os.getpid())
        with cls._opening:
            file = cls.opened.get((str(whole), sync))
            if file is None:
                file = cls.opened[str(whole), sync] = File(whole, sync)
            file.check_there()
            file.users += 1
            return file

    def release(self) -> None:
        """Let go of it; the last one to do so closes it. In a forked process nothing is touched: it is the parent's."""
        if self.process != os.getpid():
            return
        with File._opening:
            self.users -= 1
            if self.users:
                return
            File.opened.pop((str(self.path), self.sync), None)
        with self.lock:
            self.closed = True
            self.connection.close()

    @classmethod
    def forked(cls) -> None:
        """In the child: keep what the parent opened from being used, and from being closed: SQLite would clean up under the parent's feet."""
        cls._inherited |= {str(file.path): file for file in cls.opened.values()}
        cls.opened, cls._opening = {}, threading.RLock()

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do *work* in one transaction, committed when this returns, and undone when it raises.

        Raises:
            BrokerError: the file cannot be written, with the reason; nothing was.
        """
        self.check()  # before the lock, which a fork may have copied while another thread held it
        return self._patiently(lambda: self._transaction(work))

    def _transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with self.lock:
            self.check()
            if self.connection.in_transaction:
                # This very thread is in the middle of one, and a finalizer closes an app that nobody refers to any more.
                return work(self.connection)
            self.check_there()
            begun = False
            try:
                # Ctrl-C may come when this has begun one: left open, each later write would join it, and none would ever be committed.
                self.connection.execute("BEGIN IMMEDIATE")
                begun = True
                result = work(self.connection)
                self.connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if self.connection.in_transaction:
                        self.connection.execute("ROLLBACK")
                if begun and isinstance(error, sqlite3.Error):
                    raise self.explained(error) from error
                raise
            return result

    @property
    def in_the_middle(self) -> bool:
        """Whether this very thread is in the middle of a transaction, where a finalizer may be called: it must not wait for who waits for its end."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            return not self.closed and self.connection.in_transaction
        finally:
            self.lock.release()

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return the rows of a SELECT.

        Raises:
            BrokerError: the file cannot be read, with the reason.
        """
        self.check()
        return self._patiently(lambda: self._select(statement, values))

    def _select(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self.lock:
            self.check()
            return self.connection.execute(statement, values).fetchall()

    def changed_elsewhere(self) -> bool:
        """Whether another process has written since this was asked last."""
        with self.lock:
            if self.closed:
                return False
            try:
                version = self.connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:
                return False  # locked by another program: it will be asked again in a moment
            changed = version != self._version
            self._version = version
            return bool(changed)

    def listen(self, queue: int, wake: Callable[[], None]) -> None:
        """Have *wake* called when something arrives in *queue*."""
        with self.lock:
            self.listeners.setdefault(queue, []).append(wake)

    def unlisten(self, queue: int, wake: Callable[[], None]) -> None:
        """Undo a `listen`."""
        with self.lock:
            if wake in self.listeners.get(queue, ()):
                self.listeners[queue].remove(wake)

    def wake(self, queue: int) -> None:
        """Tell those who listen to *queue*."""
        for wake in tuple(self.listeners.get(queue, ())):
            wake()

    def check(self) -> None:
        """Make sure that it can be used here.

        Raises:
            ForkedError: another process opened it.
            ClosedError: it is closed.
        """
        if self.process != os.getpid():
            raise ForkedError(self.name, self.process, os.getpid())
        if self.closed:
            raise ClosedError(f"the connection to {self.name}")

    def check_there(self) -> None:
        """Make sure that what is open here is what others find under its name: SQLite goes on writing to a file that was removed.

        Raises:
            BrokerError: somebody has removed or replaced it.
        """
        try:
            there = self._there is None or os.path.samestat(self._there, self.path.stat())
        except FileNotFoundError:
            there = False
        if not there:
            problem = "somebody has removed or replaced it while it was open here, and nobody else would find what is written"
            raise BrokerError(self.name, problem, "close what has it open here, with close() or by a new start of the kernel, then try again")

    def explained(self, error: sqlite3.Error) -> BrokerError:
        """Return what *error* means to who uses the broker."""
        exactly = getattr(error, "sqlite_errorcode", 0)
        code = exactly & 0xFF
        code = sqlite3.SQLITE_BUSY if code in _BUSY else code
        if code == sqlite3.SQLITE_CANTOPEN and not self.path.parent.is_dir():
            return BrokerError(self.name, f"there is no folder {str(self.path.parent)!r}", "make it, or name a file in a folder that is there")
        if code == sqlite3.SQLITE_CANTOPEN and self.path.is_dir():
            return BrokerError(self.name, "this is a folder", "name a file")
        problem, advice = _ADVICE.get(exactly) or _ADVICE.get(code, (f"SQLite says {error}", "see https://www.sqlite.org/rescode.html"))
        return BrokerError(self.name, problem, advice)

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """Do *work*, again and again while another process has the file. It takes the lock itself: other threads wait for their own time, not for ours too."""
        deadline, pause = None, 0.00005
        while True:
            try:
                return work()
            except sqlite3.Error as error:
                now = time.monotonic()
                deadline = deadline or now + PATIENCE
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BUSY or now > deadline:
                    raise self.explained(error) from error
            # SQLite's own wait begins at 1 ms and grows to 100 ms: far longer than a transaction takes here.
            time.sleep(pause * (0.5 + random.random()))
            pause = min(2 * pause, 0.002)

    def _prepare(self) -> None:
        for pragma in (f"synchronous={self.sync}", "secure_delete=off", "wal_autocheckpoint=4000", "temp_store=memory"):
            self._patiently(lambda pragma=pragma: self.connection.execute(f"PRAGMA {pragma}"))  # type: ignore[misc]
        self._check_owner()
        if self._pragma("journal_mode") != "wal":
            self._patiently(lambda: self.connection.execute("PRAGMA journal_mode=wal").fetchall())
        if self._pragma("user_version") == 0:
            self.write(self._create)
        else:
            # A file that may only be read is told now, not at the first event.
            self.write(lambda connection: connection.execute("UPDATE topology SET version = version"))

    def _check_owner(self) -> None:
        application, version = self._pragma("application_id"), self._pragma("user_version")
        if application != APPLICATION and (version or self.read("SELECT 1 FROM sqlite_master LIMIT 1")):
            raise BrokerError(self.name, "this is a database of another program", "name another file")
        if version > VERSION:
            raise BrokerError(self.name, f"a newer edakit wrote it (schema {version}, known here {VERSION})", "update edakit, or name another file")

    def _pragma(self, name: str) -> Any:
        return self.read(f"PRAGMA {name}")[0][0]

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody was faster
            for statement in TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={VERSION}")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=File.forked)
