"""What must hold for the repository as a whole."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edakit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
GENERATED = {".venv", ".git", "__pycache__", "build", "dist", "work", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}


def tracked() -> list[Path]:
    """Return the files of the repository: what git has, or, without git, what no tool has made."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False) if shutil.which("git") else None
    if listing and listing.returncode == 0:
        return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not GENERATED & set(path.relative_to(ROOT).parts) and "egg-info" not in str(path)]


def needed() -> list[Requirement]:
    """Return all that pyproject.toml names: to run, to test, to build."""
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    return [Requirement(line) for group in [*groups, PROJECT["build-system"]["requires"]] for line in group]


def locked() -> dict[str, list[str]]:
    """Return each package in the lock with its versions; a package may have one a platform."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, flags=re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def test_the_lock_holds_whatever_pyproject_names_in_a_version_that_it_allows():
    wrong = [str(need) for need in needed() if not all(map(need.specifier.contains, locked().get(canonicalize_name(need.name), ["0"])))]

    assert wrong == [], "run `make lock`"


def test_every_package_in_the_lock_has_a_hash():
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]

    assert len(entries) > 50
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_names_no_address():
    assert "://" not in LOCK
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host", LOCK)


@pytest.mark.parametrize(
    ("package", "first_safe"), [("jupyter-server", "2.20.1"), ("jupyterlab", "4.5.8"), ("tornado", "6.5.1"), ("jinja2", "3.1.6"), ("kombu", "5.7.0")]
)
def test_versions_with_known_holes_are_shut_out(package, first_safe):
    [need] = [need for need in needed() if need.name == package]
    major, minor, patch = map(int, first_safe.split("."))
    before = f"{major}.{minor}.{patch - 1}" if patch else f"{major}.{minor - 1}.99"

    assert need.specifier.contains(first_safe)
    assert not need.specifier.contains(before)


def test_environment_yml_is_python_and_this_project_by_pip():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, by_pip = environment["dependencies"]

    assert environment["name"] == PROJECT["project"]["name"]
    assert python.startswith("python=")
    assert python.removeprefix("python=") + ".0" in Requirement("python" + PROJECT["project"]["requires-python"]).specifier
    assert pip == "pip"
    assert by_pip == {"pip": ["--editable ."]}  # so that pyproject.toml alone says what is needed


def test_every_python_that_the_classifiers_name_is_checked_by_the_workflow():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))

    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))

    assert workflow["jobs"]["locked"]["strategy"]["matrix"]["python"] == named
    assert workflow["jobs"]["windows"]["strategy"]["matrix"]["python"] == named


def test_the_version_stands_in_the_changelog():
    assert f"\n## {edakit.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_file_holds_a_path_of_somebodys_machine():
    path = re.compile(rb"(?<![\w.}>*])(/(home|root|Users|work|private)/(?!me\b)\w|[A-Z]:\\\\?Users)")  # "me" stands for anybody in examples
    texts = [file for file in tracked() if file.suffix not in {".png", ".gz", ".lock"} and file != Path(__file__)]

    found = {file.relative_to(ROOT).as_posix(): match.group().decode() for file in texts if (match := path.search(file.read_bytes()))}

    assert found == {}


def test_a_chapter_says_with_which_edakit_it_was_saved():
    chapters = sorted((ROOT / "notebooks").glob("*.ipynb"))

    versions = {path.name: json.loads(path.read_text(encoding="utf-8"))["metadata"].get("edakit", {}).get("version") for path in chapters}

    assert versions == dict.fromkeys(versions, edakit.__version__)


def test_the_wheel_holds_the_whole_library_its_data_and_both_licenses(tmp_path):
    source = tmp_path / "source"
    for file in tracked():
        target = source / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=source, capture_output=True, check=True)

    [wheel] = tmp_path.glob("edakit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    info = f"edakit-{edakit.__version__}.dist-info"
    library = {file.relative_to(ROOT).as_posix() for file in tracked() if file.is_relative_to(ROOT / "edakit")}
    assert library - names == set()
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/LICENSE-texts.md", f"{info}/entry_points.txt"} <= names
    assert {name.split("/")[0] for name in names} == {"edakit", info}
