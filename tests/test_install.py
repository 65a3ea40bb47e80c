"""`make install`, with a python3 that is too old, has no pip, or is Debian's without python3-venv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ["make", "sh", "cat", "rm", "mkdir", "env"]
OLD = """case "$*" in *version_info*) exit 1;; --version) echo "Python 3.9.2";; esac"""

pytestmark = pytest.mark.skipif(os.name == "nt" or not shutil.which("make"), reason="no make on this machine")


class Machine:
    """A folder with the Makefile, and a PATH on which the pythons are what the test says."""

    def __init__(self, folder: Path) -> None:
        self.course, self.bin, self.log = folder / "a course", folder / "bin", folder / "pip.log"
        self.course.mkdir()
        self.bin.mkdir()
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, self.course)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def python(self, name: str, script: str = "") -> None:
        """Put *name* on PATH: it does what the shell *script* says, and else what this Python does."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\n{script}\nexec {sys.executable} "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": str(self.course)}
        return subprocess.run(["make", *words], cwd=self.course, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    @property
    def pip_calls(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def debian(machine):
    """A machine whose python3 has pip but not python3-venv; what pip is asked to do is written down instead of done."""
    pip = f'test -x "./$4" || exit 1; echo "$*" >>"{machine.log}"; exit'  # pip looks for a file, not on PATH
    machine.python("python3", f'case "$*" in *ensurepip*) exit 1;; "-m pip --python"*) {pip};; esac')
    return machine


def test_without_any_python_it_says_what_to_install(machine):
    said = machine.make("install")

    assert said.returncode != 0
    assert "python3 was not found. edakit needs Python 3.11 or newer: install one" in said.stdout


def test_a_python_that_is_too_old_is_named(machine):
    machine.python("python3", OLD + "\nexit")

    said = machine.make("install")

    assert said.returncode != 0
    assert "Python 3.9.2 is too old. edakit needs Python 3.11 or newer" in said.stdout
    assert "make install PYTHON=" in said.stdout


def test_the_newest_other_python_is_taken_where_python3_is_too_old(machine):
    machine.python("python3", OLD + "\nexit")
    machine.python("python3.12", 'case "$*" in *ensurepip*|*"-m pip"*) exit 1;; esac')

    said = machine.make("install")

    assert "python3.12 has no pip" in said.stdout


def test_without_pip_it_says_how_to_get_it(machine):
    machine.python("python3", 'case "$*" in *ensurepip*|*"-m pip"*) exit 1;; esac')

    said = machine.make("lab")

    assert said.returncode != 0
    assert "python3 has no pip. Install it (Debian, Ubuntu: sudo apt install python3-pip" in said.stdout


def test_a_python_that_is_asked_for_and_is_not_there_is_named(machine):
    machine.python("python3")

    assert "/opt/no/python was not found" in machine.make("install", "PYTHON=/opt/no/python").stdout


def test_debian_without_venv_installs_what_is_locked_and_then_this_folder(debian):
    said = debian.make("install")

    assert said.returncode == 0, said.stdout
    assert said.stdout.startswith("Step 1 of 3, about a minute: ")
    assert [call.partition(" install ")[2] for call in debian.pip_calls] == [
        "",  # does this pip know --python?
        "--quiet --require-hashes -r requirements.lock",
        "--quiet --no-build-isolation --no-deps -e .",
    ]


def test_it_installs_once_and_again_when_the_lock_changes(debian):
    debian.make("install")
    calls = len(debian.pip_calls)

    assert debian.make("install").returncode == 0
    assert len(debian.pip_calls) == calls

    lock = debian.course / "requirements.lock"
    os.utime(lock, (lock.stat().st_mtime + 3600,) * 2)
    assert debian.make("install").returncode == 0
    assert len(debian.pip_calls) == 2 * calls


def test_a_folder_that_was_moved_is_installed_again(debian):
    debian.make("install")
    calls = len(debian.pip_calls)

    debian.course = debian.course.rename(debian.course.with_name("moved"))

    assert debian.make("install").returncode == 0
    assert len(debian.pip_calls) == 2 * calls


def test_an_environment_whose_python_has_gone_is_made_anew(debian):
    debian.make("install")
    for link in (debian.course / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/opt/no/python")

    assert debian.make("install").returncode == 0
    assert subprocess.run([debian.course / ".venv" / "bin" / "python", "-c", ""], check=False).returncode == 0


def test_an_installation_that_fails_says_what_to_do_and_is_tried_again(machine):
    machine.python("python3", 'case "$*" in *ensurepip*) exit 1;; *" install "*) echo "no network"; exit 1;; "-m pip --python"*) exit;; esac')

    said = machine.make("install")

    assert said.returncode != 0
    assert "no network\nThe installation did not finish; pip's reason is above." in said.stdout
    assert not (machine.course / ".venv" / "installed").exists()


def test_make_alone_lists_every_target():
    targets = (ROOT / "Makefile").read_text(encoding="utf-8").partition(".PHONY: help ")[2].partition("\n")[0].split()

    listed = subprocess.run(["make"], cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True).stdout

    assert [target for target in targets if f"make {target}" not in listed] == []
