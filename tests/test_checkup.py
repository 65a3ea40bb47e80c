from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import edakit
from edakit import brokers, checkup, cli
from edakit.checkup import Checkup, answers, broker_sentence, chapter_problems, doctor, package_problems, requirements
from edakit.table import Table


def chapter(folder, name="00_your_first_event.ipynb", **metadata):
    path = folder / name
    path.write_text(json.dumps({"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")


def test_with_everything_here_it_is_one_calm_line(tmp_path):
    chapter(tmp_path, edakit={"version": edakit.__version__})

    found = doctor(tmp_path)

    assert found.ready
    assert repr(found).startswith(f"Ready: edakit {edakit.__version__}, notebooks {edakit.__version__}. ")
    assert "\n" not in repr(found)


def test_without_chapters_beside_it_only_edakit_is_named(tmp_path):
    assert repr(doctor(tmp_path)).startswith(f"Ready: edakit {edakit.__version__}. ")


def test_the_details_are_folded_and_escaped():
    found = Checkup(problems=("<b> is here.",), versions="", brokers="", details=Table(("what",), [("<i>",)]))

    shown = found._repr_html_()

    assert shown.startswith("<p>Not ready yet: &lt;b&gt; is here.</p><details><summary>Details</summary>")
    assert "<i>" not in shown


def test_a_package_that_is_missing_or_too_old_is_named_with_what_to_do():
    problems = list(package_problems([(Requirement("kombu>=5.7"), "5.6.2"), (Requirement("msgspec>=0.20"), ""), (Requirement("numpy>=2"), "2.4.6")]))

    assert problems == [
        "edakit needs kombu>=5.7, and there is kombu 5.6.2; install again (make install), then restart the kernel.",
        "edakit needs msgspec>=0.20, and there is no msgspec; install again (make install), then restart the kernel.",
    ]


def test_what_only_tests_need_is_not_looked_for():
    names = {need.name for need in requirements()}

    assert "kombu" in names
    assert "pytest" not in names


def test_chapters_of_another_edakit_are_reported_with_what_to_do(tmp_path):
    chapter(tmp_path, name="05_measure_it_properly.ipynb", edakit={"version": "99.3.0"})

    found = doctor(tmp_path)

    assert not found.ready
    assert "05_measure_it_properly.ipynb was made with edakit 99.3.0" in repr(found)
    assert "make reset CHAPTER=05" in repr(found)


@pytest.mark.parametrize("saved", [b"{", b"[]", b"\xff\xfe", b'{"metadata": {"edakit": {"version": "quite new"}}}'])
def test_a_chapter_that_cannot_be_read_is_reported_with_what_to_do(tmp_path, saved):
    (tmp_path / "05_measure_it_properly.ipynb").write_bytes(saved)

    found = doctor(tmp_path)

    assert repr(found) == (
        "Not ready yet: 05_measure_it_properly.ipynb cannot be read as a notebook; put it back with make reset CHAPTER=05 (what you wrote is kept)."
    )


def test_the_last_part_of_the_version_may_differ(monkeypatch):
    monkeypatch.setattr(edakit, "__version__", "1.2.9")

    assert list(chapter_problems({"00_a.ipynb": "1.2.0"})) == []
    assert len(list(chapter_problems({"00_a.ipynb": "1.3.0"}))) == 1


@pytest.mark.parametrize(
    ("answering", "sentence"),
    [
        ({"RabbitMQ": False, "Kafka": False}, "RabbitMQ and Kafka are not here; you do not need them yet."),
        ({"RabbitMQ": True, "Kafka": False}, "RabbitMQ answers. Kafka is not here; you do not need it yet."),
        ({"RabbitMQ": True, "Kafka": True}, "RabbitMQ and Kafka answer."),
    ],
)
def test_the_brokers_are_one_calm_sentence(answering, sentence):
    assert broker_sentence(answering) == sentence


def test_a_port_answers_while_something_listens_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(port)

    assert not answers(port)


@pytest.mark.parametrize(("known", "says"), [(lambda _: "amqp://127.0.0.1:20001", "RabbitMQ and Kafka answer."), (lambda _: None, "are not here")])
def test_a_broker_that_edakit_started_is_found_at_the_port_that_it_has(monkeypatch, known, says):
    monkeypatch.setattr(checkup, "answers", lambda port: False)
    monkeypatch.setattr(brokers, "answering", known)

    assert says in doctor().brokers


def test_an_address_in_the_environment_that_is_none_does_not_stop_the_checkup(monkeypatch):
    monkeypatch.setenv("EDAKIT_RABBITMQ", "nonsense")

    assert doctor().ready


def test_the_command_prints_the_line_and_folds_the_details(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert cli.main(["doctor"]) == 0
    short = capsys.readouterr().out
    assert cli.main(["doctor", "--details"]) == 0
    long = capsys.readouterr().out

    assert short.startswith("Ready: ")
    assert short.count("\n") == 1
    assert long.startswith(short)
    assert "kombu" in long


@pytest.mark.parametrize("here", [".", "work", "notebooks", "elsewhere"])
def test_the_command_looks_at_the_chapters_that_would_be_opened_wherever_it_is_typed(tmp_path, monkeypatch, capsys, here):
    for folder in ("work", "notebooks", "elsewhere"):
        (tmp_path / folder).mkdir()
    for folder in ("work", "notebooks"):
        chapter(tmp_path / folder, edakit={"version": edakit.__version__})
    monkeypatch.chdir(tmp_path / here)

    assert cli.main(["doctor"]) == 0
    assert f"notebooks {edakit.__version__}" in capsys.readouterr().out


def test_the_command_is_not_ready_where_there_is_no_chapter_at_all(tmp_path):
    shutil.copytree(Path(edakit.__file__).parent, tmp_path / "site" / "edakit", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    done = subprocess.run([sys.executable, "-m", "edakit", "doctor"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f"there is no chapter in {tmp_path.resolve() / 'notebooks'}; change to the folder that you cloned or unpacked, and try again." in done.stdout


def test_the_command_fails_and_shows_the_details_where_something_is_wrong(tmp_path, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    chapter(tmp_path / "work", edakit={"version": "99.0.0"})
    monkeypatch.chdir(tmp_path)

    assert cli.main(["doctor"]) == 1
    assert "Python" in capsys.readouterr().out
