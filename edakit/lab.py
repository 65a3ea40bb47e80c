"""Open the course in JupyterLab: your own copies, made once; the first chapter in front; on this machine only."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from edakit.errors import EdakitError, InvalidValueError

__all__ = ["CHAPTERS", "CourseNotFoundError", "PortTakenError", "add_arguments", "find_course", "free_port", "open_lab", "run"]

HOST = "127.0.0.1"
FIRST_PORT, PORTS = 8888, 50  # Jupyter's own, and how many it tries
LAST_PORT = 65_535  # TCP has no more
CHAPTERS = "[0-9][0-9]_*.ipynb"


class CourseNotFoundError(EdakitError):
    """No chapters are where they were looked for."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(folder)

    def __str__(self) -> str:
        return f"there is no chapter in {self.folder}; change to the folder that you cloned or unpacked, and try again"


class PortTakenError(EdakitError):
    """Another program listens where JupyterLab was to be."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(port)

    def __str__(self) -> str:
        return f"port {self.port} is taken by another program (JupyterLab in another window?); stop that one, or choose another: make lab PORT={self.port + 1}"


def find_course(start: Path | None = None) -> Path:
    """Return the folder of the course: the current one, or the one that edakit was installed from.

    Raises:
        CourseNotFoundError: neither holds chapters.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, Path(__file__).resolve().parents[1]):
        if any((folder / "notebooks").glob(CHAPTERS)):
            return folder
    raise CourseNotFoundError(str(here / "notebooks"))


def free_port(wanted: int | None = None) -> int:
    """Return *wanted* if nothing listens there; without a wish, the first free one from 8888 on.

    Raises:
        PortTakenError: something listens there.
        InvalidValueError: there is no such port.
    """
    if wanted is not None and not 1 <= wanted <= LAST_PORT:
        raise InvalidValueError("--port", wanted, f"a port from 1 to {LAST_PORT}")
    candidates = range(FIRST_PORT, FIRST_PORT + PORTS) if wanted is None else [wanted]
    for port in candidates:
        with closing(socket.socket()) as probe:
            if os.name == "posix":  # elsewhere this option lets two programs listen at one port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not _refused(probe, port):
                return port
    raise PortTakenError(candidates[0])


def _refused(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((HOST, port))
    except OSError:
        return True
    return False


def open_lab(folder: Path, *, port: int, browser: bool = True, more: Iterable[str] = ()) -> None:
    """Serve *folder* until Ctrl-C, with its first chapter in front.

    Args:
        folder: Holds the chapters, and becomes JupyterLab's root.
        port: Where to listen, on this machine only.
        browser: Whether to open a browser too.
        more: Further arguments for JupyterLab.
    """
    from jupyterlab.labapp import LabApp  # noqa: PLC0415 (takes a second; `edakit --help` need not)

    page = f"/lab/tree/{min(folder.glob(CHAPTERS)).name}"
    # By the environment, since every user of the machine can read the arguments of a process.
    token = os.environ["JUPYTER_TOKEN"] = secrets.token_hex(16)
    server = LabApp.initialize_server(argv=[*_options(folder, page, port, browser=browser), *more])
    server.io_loop.add_callback(_announce, f"http://{HOST}:{port}{page}?token={token}")
    server.start()


def _options(folder: Path, page: str, port: int, *, browser: bool) -> list[str]:
    return [
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.open_browser={browser}",
        "--ServerApp.allow_root=True",  # containers; whoever may connect is on this machine and has the token
        "--ServerApp.log_level=ERROR",  # the last lines on the screen are to be ours
        "--LabApp.log_level=ERROR",
        "--KernelManager.transport_encryption=auto",  # otherwise each kernel warns that other users of this machine could listen
        f"--LabApp.default_url={page}",
        f"--LabApp.app_settings_dir={Path(__file__).with_name('lab_settings')}",
        # Jupyter keeps one list of open tabs for all projects of a user; those of another project are not to come up here.
        f"--LabApp.workspaces_dir={folder.parent / 'work' / '.lab' / folder.name}",
    ]


def _announce(address: str) -> None:
    print(f"\nJupyterLab is open at {address}\nLeave this window open; Ctrl-C twice stops it.", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit lab`."""
    parser.add_argument("--solved", action="store_true", help="open the solved chapters in notebooks/ instead of your copies in work/")
    parser.add_argument("--port", type=int, help=f"where to listen (the first free one from {FIRST_PORT} on)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("more", nargs="*", metavar="-- …", help="further arguments for JupyterLab")


def run(arguments: argparse.Namespace) -> int:
    """Make the copies, unless the solved chapters are wanted, and open JupyterLab."""
    course = find_course()
    port = free_port(arguments.port)
    folder = course / "notebooks" if arguments.solved else _copies(course)
    if os.environ.pop("EDAKIT_BROKER", None):
        print("EDAKIT_BROKER is left out: the chapters say themselves which broker they run on.")
    print("Step 3 of 3, a few seconds: opening JupyterLab", flush=True)
    open_lab(folder, port=port, browser=not arguments.no_browser, more=arguments.more)
    return 0


def _copies(course: Path) -> Path:
    from edakit.classroom.copies import make_copies  # noqa: PLC0415 (it brings nbformat, and its commands import this module)

    made = make_copies(course / "notebooks", course / "work")
    print(f"Step 2 of 3: made your copies in work/: {', '.join(path.name for path in made)}" if made else "Step 2 of 3: your copies are in work/ already")
    return course / "work"
