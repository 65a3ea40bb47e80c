"""doctor(): is everything here that the course needs? One calm line; the details are folded."""

from __future__ import annotations

import argparse
import json
import platform
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from html import escape
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

import edakit
from edakit.errors import BrokerURLError
from edakit.lab import CHAPTERS, CourseNotFoundError, find_course
from edakit.table import Table

__all__ = ["Checkup", "add_arguments", "doctor", "run"]

BROKERS = {"RabbitMQ": 5672, "Kafka": 9092}  # where each answers unless it was told otherwise
PATIENCE = 0.2  # a broker on this machine answers at once [s]


@dataclass(frozen=True)
class Checkup:
    """What `doctor()` found; shows itself as one line, in a notebook with the details folded under it.

    Args:
        problems: Sentences: what was found, what was needed, what to do. Empty when all is well.
        versions: The versions of edakit and of the chapters, in a few words.
        brokers: One sentence on the brokers.
        details: Each thing that was looked at, one a row.
    """

    problems: tuple[str, ...]
    versions: str
    brokers: str
    details: Table

    @property
    def ready(self) -> bool:
        """Whether the course can begin."""
        return not self.problems

    def __repr__(self) -> str:
        if self.ready:
            return f"Ready: {self.versions}. {self.brokers}"
        return "Not ready yet: " + " ".join(self.problems)

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p><details><summary>Details</summary>{self.details._repr_html_()}</details>"


def doctor(folder: Path | None = None) -> Checkup:
    """Look at Python, the installed packages, the chapters beside the notebook, and the brokers of this machine.

    Args:
        folder: Where the chapters are; the current folder unless given, which in a notebook is its own.
    """
    chapters = dict(chapter_versions(folder or Path.cwd()))
    there = {name: answers(port) or started(name) for name, port in BROKERS.items()}
    installed = [(need, installed_version(need.name)) for need in requirements()]
    return Checkup(
        problems=(*package_problems(installed), *chapter_problems(chapters)),
        versions=", ".join([f"edakit {edakit.__version__}", *(f"notebooks {version}" for version in sorted({*chapters.values()} - {""}))]),
        brokers=broker_sentence(there),
        details=_details(installed, chapters, there),
    )


def requirements() -> list[Requirement]:
    """Return what edakit says that it needs at run time, as pyproject.toml lists it; itself, where it was copied instead of installed."""
    if not installed_version("edakit"):
        return [Requirement(f"edakit=={edakit.__version__}")]
    every = (Requirement(line) for line in metadata.requires("edakit") or ())
    return [need for need in every if need.marker is None or need.marker.evaluate({"extra": ""})]


def installed_version(package: str) -> str:
    """Return the version of *package* in this environment, "" where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def package_problems(installed: Iterable[tuple[Requirement, str]]) -> Iterator[str]:
    """Say which packages are missing or too old, one sentence each."""
    for need, version in installed:
        if not need.specifier.contains(version or "0", prereleases=True):
            found = f"{need.name} {version}" if version else f"no {need.name}"
            yield f"edakit needs {need.name}{need.specifier}, and there is {found}; install again (make install), then restart the kernel."


def chapter_versions(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each chapter in *folder* with the version of edakit that it was saved with, "" where it cannot be read."""
    for path in sorted(folder.glob(CHAPTERS)):
        try:
            saved = json.loads(path.read_text(encoding="utf-8")).get("metadata", {}).get("edakit", {})
            if "version" in saved:
                yield path.name, str(Version(saved["version"]))
        except (OSError, ValueError, TypeError, AttributeError):  # no text, no JSON, no notebook, no version
            yield path.name, ""


def chapter_problems(chapters: dict[str, str]) -> Iterator[str]:
    """Say which chapters were made for another edakit; the last part of the version number may differ."""
    here = Version(edakit.__version__).release[:2]
    for name in (name for name, version in chapters.items() if not version):
        yield f"{name} cannot be read as a notebook; put it back with make reset CHAPTER={name[:2]} (what you wrote is kept)."
    other = {name: version for name, version in chapters.items() if version and Version(version).release[:2] != here}
    if other:
        name, version = min(other.items())
        yield (
            f"{name} was made with edakit {version}, and edakit {edakit.__version__} is installed; "
            f"bring it up to date with make reset CHAPTER={name[:2]} (what you wrote is kept)."
        )


def answers(port: int) -> bool:
    """Return whether something on this machine accepts connections at *port*."""
    with closing(socket.socket()) as probe:
        probe.settimeout(PATIENCE)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def started(name: str) -> bool:
    """Return whether the broker answers that the environment names, or that `edakit brokers up` has started, which chooses its own port."""
    try:
        from edakit.brokers import answering  # noqa: PLC0415 (it needs psutil, which may be what is missing)

        return answering(name.lower()) is not None
    except (ImportError, BrokerURLError, OSError):  # whoever uses it is told; the course begins without
        return False


def broker_sentence(answering: dict[str, bool]) -> str:
    """Say which brokers are here, and that the others can wait."""
    here = [name for name, there in answering.items() if there]
    absent = [name for name, there in answering.items() if not there]
    sentences = []
    if here:
        sentences.append(f"{' and '.join(here)} {'answer' if len(here) > 1 else 'answers'}.")
    if absent:
        verb, them = ("are", "them") if len(absent) > 1 else ("is", "it")
        sentences.append(f"{' and '.join(absent)} {verb} not here; you do not need {them} yet.")
    return " ".join(sentences)


def _details(installed: Iterable[tuple[Requirement, str]], chapters: dict[str, str], answering: dict[str, bool]) -> Table:
    rows = [
        ("Python", platform.python_version(), ">=3.11"),
        ("system", f"{platform.system()} {platform.machine()}", ""),
        *((need.name, version or "not installed", str(need.specifier)) for need, version in installed),
        *((name, version or "cannot be read", "as edakit") for name, version in chapters.items()),
        *((name, "answers" if there else "not here", "later") for name, there in answering.items()),
    ]
    return Table(("what", "found", "needed"), rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit doctor`."""
    parser.add_argument("--details", action="store_true", help="show all that was looked at")


def run(arguments: argparse.Namespace) -> int:
    """Print the line, and the details where they were asked for; 1 if something is missing."""
    try:
        found = doctor(_chapters_of_the_course())
    except CourseNotFoundError as error:
        found = doctor()
        found = replace(found, problems=(*found.problems, f"{error}."))
    print(found)
    if arguments.details or not found.ready:
        print(found.details)
    return 0 if found.ready else 1


def _chapters_of_the_course() -> Path:
    """Return the folder of the chapters that `edakit lab` would open, or that somebody is in."""
    here = Path.cwd()
    for folder in (here, here / "work", here / "notebooks"):
        if any(folder.glob(CHAPTERS)):
            return folder
    course = find_course()
    return next(folder for folder in (course / "work", course / "notebooks") if any(folder.glob(CHAPTERS)))
