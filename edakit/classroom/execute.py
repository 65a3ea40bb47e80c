"""Run a notebook from beginning to end, in a kernel of its own that cannot hang for ever."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

from edakit.errors import EdakitError

__all__ = ["CELL_SECONDS", "SECONDS", "CellFailedError", "NotebookStuckError", "execute"]

CELL_SECONDS = 60  # a cell [s]
SECONDS = 300.0  # a whole chapter, whatever its cells say [s]
ATTEMPTS = 2  # nbclient missed the end of a cell in 2 of 16 runs of notebooks with widgets


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


def execute(notebook: Any, path: Path, *, keep_going: bool = False, variables: Mapping[str, str] | None = None, seconds: float = SECONDS) -> Any:
    """Return a copy of *notebook* with the outputs of a run.

    Args:
        notebook: The notebook, as nbformat reads it.
        path: Where it is from: its folder becomes the current one, its name stands in errors.
        keep_going: Whether the cells after one that failed run too.
        variables: Set in the kernel's environment on top of this one.
        seconds: When to give up on the whole [s].

    Raises:
        CellFailedError: a cell raised, and *keep_going* is off.
        NotebookStuckError: it was still running after *seconds* (a cell: after a minute), twice; or the kernel died.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _execute_once(copy.deepcopy(notebook), path, keep_going=keep_going, variables=variables or {}, seconds=seconds)
        except CellExecutionError as error:
            raise CellFailedError(path.name, str(error)) from None
        except (CellTimeoutError, TimeoutError) as error:
            if attempt == ATTEMPTS:
                raise NotebookStuckError(path.name, str(error).strip() or f"still running after {seconds:g} s") from None
        except DeadKernelError as error:
            raise NotebookStuckError(path.name, f"{error} (out of memory, or a cell that ends the process)") from None
        except NoSuchKernel:
            raise NotebookStuckError(path.name, "there is no Python kernel for Jupyter; install again (make install)") from None
    raise AssertionError


def _execute_once(notebook: Any, path: Path, *, keep_going: bool, variables: Mapping[str, str], seconds: float) -> Any:
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        allow_errors=keep_going,
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(path.parent)}},
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),  # otherwise each kernel warns that other users of this machine could listen
    )
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | dict(variables)
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(_until(seconds, client, environment))


class _Loop(asyncio.SelectorEventLoop):
    """A loop of selectors, which zeromq needs on Windows. Signals are not nbclient's: it would end the kernel of a run that goes on, and then fail."""

    def add_signal_handler(self, *_: Any) -> None:  # type: ignore[override]  # it takes what the loop takes
        """Refuse, as loops do on Windows."""
        raise NotImplementedError


async def _until(seconds: float, client: NotebookClient, environment: Mapping[str, str]) -> Any:
    deadline = asyncio.get_running_loop().time() + seconds
    run = asyncio.ensure_future(client.async_execute(env=environment))
    run.add_done_callback(lambda done: done.cancelled() or done.exception())  # after Ctrl-C nobody else asks how it ended, and asyncio would complain
    try:
        return await asyncio.wait_for(run, seconds)
    except DeadKernelError:
        # nbclient may notice the end of its kernel before it notices that it was told to end it.
        if asyncio.get_running_loop().time() < deadline:
            raise
        raise TimeoutError from None
