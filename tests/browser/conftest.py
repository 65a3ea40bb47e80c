from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edakit.classroom.copies import make_copies
from tests.browser.every_chapter import nothing_is_given_away
from tests.browser.lab import chromium, running_lab

ROOT = Path(__file__).parents[2]


# For this folder only: as long as Playwright's loop runs, no other test could run one of its own.
@pytest.fixture(scope="package")
def lab(tmp_path_factory):
    """JupyterLab on a course of its own: the chapters in notebooks/, their copies in work/."""
    if chromium() is None:
        if "chromium" in os.environ.get("EDAKIT_REQUIRE", "").split(","):
            pytest.fail("EDAKIT_REQUIRE names chromium, and there is none on PATH: install it")
        pytest.skip("there is no Chromium on PATH; EDAKIT_REQUIRE=chromium makes this a failure")
    course = tmp_path_factory.mktemp("course")
    for folder in ("notebooks", "data"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, course / folder)
    make_copies(course / "notebooks", course / "work")
    with running_lab(course, tmp_path_factory.mktemp("private")) as opened:
        yield opened


@pytest.fixture(scope="module", params=["notebooks", "work"])
def chapter(lab, request):
    """The chapter whose number the test's module ends with, solved and as a copy, when all its cells have run."""
    [path] = (lab.root / request.param).glob(f"{request.module.__name__[-2:]}_*.ipynb")
    with lab.open(f"{request.param}/{path.name}") as opened:
        if request.param == "work":
            nothing_is_given_away(opened)
        opened.run_all(seconds=240)
        opened.photograph(f"{request.param}-{path.stem}")
        yield opened
        assert opened.failures() == []
        assert opened.errors == []
