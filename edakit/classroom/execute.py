"""Run a notebook from beginning to end, in a kernel of its own that cannot hang for ever, and cannot fill the memory with what it prints."""

from __future__ import annotations

import asyncio
import atexit
import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NoSuchKernel
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

from edakit.errors import EdakitError

__all__ = ["CELL_SECONDS", "SECONDS", "CellFailedError", "NotebookStuckError", "execute", "is_graded"]

CELL_SECONDS = 60  # a cell [s]
CHECK_SECONDS = 130  # the cell of a check, which itself stops an answer that does not end: the most patient one after 120 s [s]
SECONDS = 300.0  # a whole chapter, whatever its cells say [s]
START = 120  # for the start of a kernel, which takes 2 on an idle machine [s]
GRACE = 90  # for a cell that was told to stop: what it has printed may be much, and the machine busy [s]
LATE = 90  # for what a cell has shown: after one that printed without end, much is still under way [s]
MOST_OUTPUT = 10_000_000  # a cell; the largest picture of a chapter has less than a tenth of it [characters]
LEFT_OUT = {"MPLBACKEND", "EDAKIT_BROKER"}  # chapters say themselves how to draw, and on which broker they run: that of a class is not for them
ATTEMPTS = 2  # nbclient missed the end of a cell in 2 of 16 runs of notebooks with widgets; and some kernels do not start


def is_graded(cell: Any) -> bool:
    """Return whether *cell* is a check that gives points."""
    about = cell.metadata.get("nbgrader")
    return bool(cell.cell_type == "code" and isinstance(about, dict) and about.get("grade") and not about.get("solution"))


class NotebookStuckError(EdakitError):
    """A notebook did not come to its end."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(name, problem)

    def __str__(self) -> str:
        return f"{self.name} did not come to its end: {self.problem}"


class CellFailedError(EdakitError):
    """A cell raised an error that its tags do not announce."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(name, problem)

    def __str__(self) -> str:
        return f"a cell of {self.name} failed; mend it, or tag it raises-exception if that is its lesson\n{self.problem}"


def execute(
    notebook: Any,
    path: Path,
    *,
    keep_going: bool = False,
    variables: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    cell_seconds: int = CELL_SECONDS,
) -> Any:
    """Return a copy of *notebook* with the outputs of a run.

    Args:
        notebook: The notebook, as nbformat reads it.
        path: Where it is from: its folder becomes the current one, its name stands in errors.
        keep_going: Whether the cells after one that failed run too.
        variables: Set in the kernel's environment on top of this one.
        seconds: When to give up on the whole [s]; it counts from the first cell, since a busy machine is slow to start a kernel.
        cell_seconds: When to interrupt a cell that is no check [s].

    Raises:
        CellFailedError: a cell raised, and *keep_going* is off.
        NotebookStuckError: it was still running after *seconds*; a cell would not stop, twice; or the kernel died, or did not start.
    """
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT} | dict(variables or {})
    # Otherwise a folder or file beside the notebook that is called edakit would be taken for the course's.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), environment.get("PYTHONPATH"))))
    for attempt in range(1, ATTEMPTS + 1):
        client = _client(copy.deepcopy(notebook), path, seconds, cell_seconds, keep_going=keep_going)
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                return runner.run(_run(client, environment))
        except CellExecutionError as error:
            raise CellFailedError(path.name, str(error)) from None
        except CellTimeoutError:
            if attempt == ATTEMPTS:
                raise NotebookStuckError(path.name, f"{client.at} does not stop when it is interrupted, or its output does not arrive") from None
        except TimeoutError:
            raise NotebookStuckError(path.name, f"still running after {seconds:g} s, at {client.at}") from None
        except DeadKernelError:
            raise NotebookStuckError(path.name, f"its kernel died at {client.at} (out of memory, or a cell that ends the process)") from None
        except NoSuchKernel:
            raise NotebookStuckError(path.name, "there is no Python kernel for Jupyter; install again (make install)") from None
        except _NoStartError as error:
            if attempt < ATTEMPTS:
                continue  # Jupyter looks for free ports and lets them go again: another program may have taken one before its kernel did
            problem = f"its kernel did not start ({error}); look for a file beside it with the name of a module of Python or Jupyter"
            raise NotebookStuckError(path.name, problem) from None
    raise AssertionError


class _NoStartError(Exception):
    """A kernel ended while it started, or did not answer in time."""


class _Client(NotebookClient):
    """A client that interrupts a cell which runs or prints without end, and goes on with the next as after any other error."""

    at = "its beginning"
    seconds = SECONDS
    cell_seconds = CELL_SECONDS
    limit: asyncio.Timeout
    _printed = 0
    _alarm: asyncio.TimerHandle
    _interrupt: asyncio.Future[Any] | None = None

    def patience(self, cell: Any) -> int:
        """Return when *cell* is interrupted [s]."""
        return max(self.cell_seconds, CHECK_SECONDS) if is_graded(cell) else self.cell_seconds

    async def async_start_new_kernel_client(self) -> Any:
        try:
            return await super().async_start_new_kernel_client()
        except RuntimeError as error:
            atexit.unregister(self._cleanup_kernel)  # nbclient, which has done so already, would do it again, and fail
            raise _NoStartError(str(error).lower()) from None
        finally:
            self.limit.reschedule(asyncio.get_running_loop().time() + self.seconds)

    async def async_execute_cell(self, cell: Any, *where: Any, **options: Any) -> Any:
        self.at = f"the cell that begins with `{next(iter(cell.source.strip().splitlines()), '')[:80]}`"
        self._printed = 0
        self._alarm = asyncio.get_running_loop().call_later(self.patience(cell), self._stop_cell)
        try:
            return await super().async_execute_cell(cell, *where, **options)
        finally:
            self._alarm.cancel()

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        before, self._printed = self._printed, self._printed + len(str(msg["content"]))
        if self._printed <= MOST_OUTPUT or msg["msg_type"] == "error":
            return super().output(outs, msg, display_id, cell_index)
        if before <= MOST_OUTPUT:
            self._stop_cell()
        return None

    def _stop_cell(self) -> None:
        # Once a cell: a second interrupt could come while the kernel tells of the first, and nobody would be told of either.
        if not self._alarm.cancelled():
            self._alarm.cancel()
            self._interrupt = asyncio.ensure_future(ensure_async(self.km.interrupt_kernel()))  # type: ignore[union-attr]  # a cell runs in a kernel


def _client(notebook: Any, path: Path, seconds: float, cell_seconds: int, *, keep_going: bool) -> _Client:
    client = _Client(
        notebook,
        kernel_name="python3",
        startup_timeout=START,
        iopub_timeout=LATE,
        raise_on_iopub_timeout=True,  # otherwise the output is left out, and its exercise not graded
        allow_errors=keep_going,
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(path.parent)}},
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),  # otherwise each kernel warns that other users of this machine could listen
    )
    client.timeout_func = lambda cell: client.patience(cell) + GRACE
    client.seconds, client.cell_seconds = seconds, cell_seconds
    return client


class _Loop(asyncio.SelectorEventLoop):
    """A loop of selectors, which zeromq needs on Windows. Signals are not nbclient's: it would end the kernel of a run that goes on, and then fail."""

    def add_signal_handler(self, *_: Any) -> None:  # type: ignore[override]  # it takes what the loop takes
        """Refuse, as loops do on Windows."""
        raise NotImplementedError


async def _run(client: _Client, environment: Mapping[str, str]) -> Any:
    run = asyncio.ensure_future(client.async_execute(env=environment))
    run.add_done_callback(lambda done: done.cancelled() or done.exception())  # after Ctrl-C nobody else asks how it ended, and asyncio would complain
    try:
        async with asyncio.timeout(None) as client.limit:
            await asyncio.wait([run])  # not run itself: nbclient takes its own cancellation for the end of the kernel
    finally:
        run.cancel()
        await asyncio.wait([run])  # until its kernel has ended
    return run.result()
