"""The shop's components in worker processes on this machine, each started again when it ends by itself: what systemd or Kubernetes do elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Self

from edakit.errors import InvalidValueError
from edakit.shop.app import COMPONENTS
from edakit.shop.errors import WorkerEndedError
from edakit.shop.restore import DECIDERS

__all__ = ["COMMAND", "WorkerProcesses", "dealt"]

COMMAND: Final = (sys.executable, "-m", "edakit", "worker")
"""What starts a worker."""

_LOOK: Final = 0.1  # between two looks whether all workers live [s]
_READY: Final = " ready at "
_STOPPING: Final = 10.0  # a worker that was asked to stop needs less than five [s]


def dealt(number: int) -> list[list[str]]:
    """Return which components each of *number* workers serves: those that decide are dealt first, so that four workers have one of them each.

    Raises:
        InvalidValueError: there are fewer components than that, or no worker.
    """
    if not 1 <= number <= len(COMPONENTS):
        raise InvalidValueError("--workers", number, f"a whole number from 1 to {len(COMPONENTS)}: of a component of the shop one process serves at a time")
    names = [*DECIDERS, *(name for name in COMPONENTS if name not in DECIDERS)]
    return [names[first::number] for first in range(number)]


class WorkerProcesses:
    """Worker processes; a `with` block starts them, returns when all are ready, and stops them in the end.

    Args:
        broker: Address of the broker.
        catalogue: A file with the shop's products.
        number: How many.
        command: What starts one.

    Attributes:
        killed: Components whose worker was killed here.
        away: How long the components of each worker that ended were served by nobody [s].
        said: What each worker said when it stopped.

    Raises:
        WorkerEndedError: one did not become ready.
    """

    def __init__(self, broker: str, catalogue: Path, number: int, command: Sequence[str] = COMMAND) -> None:
        self.killed: list[str] = []
        self.away: list[float] = []
        self.said: list[str] = []
        self._names = dealt(number)
        self._words = [[*command, *names, "--catalogue", str(catalogue)] for names in self._names]
        # In the environment: every user of the machine can read arguments, and there may be a password in it.
        self._environment = {**os.environ, "EDAKIT_BROKER": broker}
        self._processes: list[subprocess.Popen[str]] = []
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep_going, name="edakit-workers", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._processes = [self._begun(words) for words in self._words]
            for names, process in zip(self._names, self._processes, strict=True):
                _make_sure(names, process)
        except BaseException:
            self._end()
            raise
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for process in self._processes:
            _ask_to_stop(process)
        self._watch.join()
        self._end()

    def kill(self, component: str) -> None:
        """Kill the worker that serves *component*, as kill -9 does."""
        number = next(number for number, names in enumerate(self._names) if component in names)
        self.killed.append(component)
        self._processes[number].kill()

    def _begun(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(words, env=self._environment, stdout=subprocess.PIPE, text=True, creationflags=_own_group())  # noqa: S603 (ours)

    def _keep_going(self) -> None:
        while not self._stopping.wait(_LOOK):
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    ended = time.monotonic()
                    _stream(process).close()
                    again = self._processes[number] = self._begun(self._words[number])
                    # One that was killed is waited for: some brokers miss it only when its session or its lease ends.
                    ready = any(_READY in said for said in _stream(again))
                    self.away += [time.monotonic() - ended] if ready else []

    def _end(self) -> None:
        for process in self._processes:
            _ask_to_stop(process)  # also one that was started again meanwhile
        self.said = [said for process in self._processes for said in _last_words(process)]


def _own_group() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP  # else Ctrl-Break would reach us too
    return 0


def _ask_to_stop(process: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.terminate()


def _stream(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
    return process.stdout


def _make_sure(names: list[str], process: subprocess.Popen[str]) -> None:
    said = _stream(process).readline()
    if _READY not in said:
        raise WorkerEndedError(names, None if said else process.wait())


def _last_words(process: subprocess.Popen[str]) -> list[str]:
    try:
        process.wait(_STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with _stream(process) as stream:
        return stream.read().splitlines()
