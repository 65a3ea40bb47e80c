"""Processes that know whose they are: each carries a mark in its environment, and so do all that it starts."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from edakit.brokers.errors import BrokerStopError

__all__ = ["HOST", "MARK", "PAUSE", "exclusively", "free_ports", "is_free", "kill", "launch", "lives", "marked"]

HOST = "127.0.0.1"
MARK = "EDAKIT_NODE"
PAUSE = 0.02  # between two looks [s]
LOOKS = 10
KILLING = 10.0  # the system needs this long at most to end what was killed [s]
# Below the ports that systems hand to outgoing connections. A client that tries again while its broker is down could otherwise be given the broker's port
# as its own, connect to itself, and keep the broker from coming back.
PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return *count* different ports at which nothing listens on this machine."""
    found: set[int] = set()
    while len(found) < count:
        port = secrets.choice(PORTS)
        if is_free(port):
            found.add(port)
    return list(found)


def is_free(port: int) -> bool:
    """Return whether a server could listen at *port*."""
    with closing(socket.socket()) as probe:
        if os.name == "posix":  # elsewhere this option lets two programs listen at one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def launch(command: Sequence[str], *, mark: str, environment: Mapping[str, str], folder: Path) -> int:
    """Start a server that outlives this process, and return its process id; what it says goes to *folder*/output.log."""
    with (folder / "output.log").open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 (the command was found on this machine)
            command,
            cwd=folder,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for it
            creationflags=_detached(),
        )
    process.returncode = 0  # subprocess would otherwise warn that it still runs, which it should; psutil waits for it
    return process.pid


def _detached() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def lives(pid: int, mark: str) -> bool:
    """Return whether *pid* runs and carries *mark*: after a restart of the machine the number may be another program's."""
    for _ in range(LOOKS):
        if environment := _environment(pid):
            return environment.get(MARK) == mark
        if environment is None:
            return False
        time.sleep(PAUSE / 10)
    return False


def _environment(pid: int) -> dict[str, str] | None:
    """Return the environment of a process; empty for a moment while one program becomes the next (exec), None where there is none to be seen."""
    try:
        return dict(psutil.Process(pid).environ())
    except (psutil.Error, OSError):  # gone, a zombie, or another user's
        return None


def marked(mark: str) -> list[psutil.Process]:
    """Return all processes that carry *mark*."""
    return [process for process in psutil.process_iter() if (_environment(process.pid) or {}).get(MARK) == mark]


def kill(mark: str) -> None:
    """End every process that carries *mark*, at once, and return when all have gone.

    Raises:
        BrokerStopError: the system would not end them.
    """
    deadline, dying = time.monotonic() + KILLING, list[psutil.Process]()
    while found := dying or marked(mark) or _marked_later(mark):
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        # A process that dies shows its mark no more, and holds its ports for as long as the system needs to close them.
        dying = [process for process in psutil.wait_procs(found, timeout=PAUSE * 10)[1] if _holds(process)]
        if time.monotonic() > deadline:
            raise BrokerStopError(process.pid for process in found)


def _holds(process: psutil.Process) -> bool:
    """Whether a process may have ports and files; a zombie has none."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _marked_later(mark: str) -> list[psutil.Process]:
    time.sleep(PAUSE)  # one may have been between two programs when it was looked at
    return marked(mark)


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Let one process at a time pass; the system opens the lock when its holder dies."""
    with path.open("a+b") as file:
        _lock(file.fileno())
        yield  # closing the file opens the lock


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 (only Windows has it)

        while True:
            os.lseek(file, 0, os.SEEK_SET)
            with suppress(OSError):  # it tries for ten seconds, then gives up
                msvcrt.locking(file, msvcrt.LK_LOCK, 1)
                return
    else:
        import fcntl  # noqa: PLC0415 (Windows has none)

        fcntl.flock(file, fcntl.LOCK_EX)
