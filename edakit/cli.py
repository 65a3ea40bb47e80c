"""The command `edakit`: each subcommand is a module that adds its arguments and runs."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from edakit import __version__
from edakit.errors import EdakitError

__all__ = ["main"]

# name: (module with add_arguments(parser) and run(arguments) -> int, what it does)
COMMANDS = {
    "doctor": ("edakit.checkup", "say whether everything that the course needs is here"),
    "lab": ("edakit.lab", "make your own copies of the chapters, once, and open them in JupyterLab"),
    "reset": ("edakit.classroom.reset", "put back your copy of one chapter, after asking; what you wrote is kept"),
    "playback": ("edakit.shop.playback", "play a recorded day of a real shop back through the shop's events"),
    "record": ("edakit.shop.everywhere", "for authors: run the shop on all four brokers and save the runs that chapter 07 shows where one is missing"),
    "worker": ("edakit.worker", "run components of the shop, or your own, as a process of their own"),
    "shop": ("edakit.shop.command", "look at a shop whose components run elsewhere"),
    "brokers": ("edakit.brokers.command", "start, stop and find RabbitMQ and Kafka on this machine"),
    "release": ("edakit.classroom.release", "for teachers: write the students' copies of all chapters"),
    "grade": ("edakit.classroom.gradebook", "for teachers: run students' copies and count their points"),
    "rerun": ("edakit.classroom.rerun", "for authors: run the solved chapters again and save what changed"),
}

NAMELESS = {errno.ENOSPC: "the output", errno.ENOENT: "the current folder"}  # what an error of the system is about where it names no file


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return the exit status: 0, 1 for an error that is explained or a reader that has gone, 130 after Ctrl-C.

    Args:
        argv: The words after `edakit`; those of this process unless given.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a terminal has no letters for, as the name of a file from elsewhere, is no reason to fail
    words = sys.argv[1:] if argv is None else list(argv)
    name = next((word for word in words if word in COMMANDS), "")
    try:
        arguments = _parser(words).parse_args(words)  # imports the command, which may take seconds
        status = int(arguments.run(arguments))
        if sys.stdout is not None:  # as it is for a program that was given none
            sys.stdout.flush()
    except EdakitError as error:
        return _said(name, error, 1)
    except BrokenPipeError:  # as `| head` does: who reads has enough
        _close_output()
        return 1
    except OSError as error:  # of the machine, not of the program
        if error.filename is None and error.errno not in NAMELESS:
            raise
        if error.errno == errno.ENOSPC and error.filename is None:
            _close_output()
        where = NAMELESS[error.errno or 0] if error.filename is None else error.filename
        what = (error.strerror or str(error)).lower()
        return _said(name, f"{where}: {what}; make sure that its folder is there, that you may write to it, and that the disk has room", 1)
    except KeyboardInterrupt:
        return _said(name, "stopped", 130)
    return status


def _said(name: str, what: object, status: int) -> int:
    print(f"edakit {name}: {what}", file=sys.stderr)
    return status


def _close_output() -> None:
    """Let what was not printed go nowhere: at its end Python would try again, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edakit", description="Learn event-driven architecture by running it.")
    parser.add_argument("--version", action="version", version=f"edakit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if name in words:  # only what is asked for is imported: playback brings numpy, lab brings JupyterLab
            wanted = import_module(module)
            wanted.add_arguments(command)
            command.set_defaults(run=wanted.run)
    return parser
