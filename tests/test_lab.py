from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from edakit import cli, lab

SAVED = {"cells": [], "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two empty chapters, which is the current folder."""
    (tmp_path / "notebooks").mkdir()
    for name in ("00_first.ipynb", "02_second.ipynb"):
        (tmp_path / "notebooks" / name).write_text(json.dumps(SAVED), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(course, tmp_path):
    """JupyterLab as `edakit lab --solved` starts it: the process, and what it printed up to its last line."""
    port = lab.free_port()
    private = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "edakit", "lab", "--solved", "--no-browser", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ | private, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        limit = threading.Timer(180, process.kill)
        limit.start()
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.startswith("Leave this window open"):
                break
        yield process, "".join(printed)
        process.kill()
        limit.cancel()


def test_a_folder_without_chapters_is_refused_with_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "__file__", str(tmp_path / "edakit" / "lab.py"))

    assert cli.main(["lab"]) == 1
    assert "there is no chapter in" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_what_to_do(course, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        assert cli.main(["lab", "--solved", "--no-browser", "--port", str(port)]) == 1

    said = capsys.readouterr().err
    assert f"port {port} is taken" in said
    assert f"make lab PORT={port + 1}" in said


@pytest.mark.parametrize("port", ["-1", "0", "65536"])
def test_a_port_that_does_not_exist_is_refused_in_a_sentence(course, port, capsys):
    assert cli.main(["lab", "--solved", "--no-browser", "--port", port]) == 1
    assert capsys.readouterr().err == f"edakit lab: --port is {port}; give a port from 1 to 65535\n"


def test_without_a_wish_a_port_that_is_taken_is_passed_over():
    first = lab.free_port()

    with socket.create_server(("127.0.0.1", first)):
        assert lab.free_port() > first


def get(address, path):
    host, port = re.search(r"//([\d.]+):(\d+)/", address).groups()
    with closing(http.client.HTTPConnection(host, int(port), timeout=120)) as connection:
        connection.request("GET", f"{path}?token={address.partition('token=')[2]}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process; the server is the same")
def test_it_serves_the_first_chapter_without_news_and_stops_when_asked(served):
    process, printed = served
    step, _, address, leave = printed.splitlines()

    assert step.startswith("Step 3 of 3")
    assert address.startswith("JupyterLab is open at http://127.0.0.1:")
    assert "/lab/tree/00_first.ipynb?token=" in address
    assert leave == "Leave this window open; Ctrl-C twice stops it."
    assert get(address, "/lab/tree/00_first.ipynb")[0] == 200
    settings = json.loads(get(address, "/lab/api/settings/@jupyterlab/apputils-extension:notification")[1])
    assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"

    process.send_signal(signal.SIGINT)

    assert process.stdout.read() == ""  # nothing comes after the last line
    assert process.wait() == 0


def test_copies_are_made_once_and_what_a_student_wrote_is_never_overwritten(course, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(lab, "open_lab", lambda folder, **_: opened.append(folder.name))
    assert cli.main(["lab", "--no-browser"]) == 0
    first = capsys.readouterr().out
    (course / "work" / "00_first.ipynb").write_text("mine", encoding="utf-8")

    assert cli.main(["lab", "--no-browser"]) == 0

    assert opened == ["work", "work"]
    assert first.splitlines()[0] == "Step 2 of 3: made your copies in work/: 00_first.ipynb, 02_second.ipynb"
    assert capsys.readouterr().out.splitlines()[0] == "Step 2 of 3: your copies are in work/ already"
    assert (course / "work" / "00_first.ipynb").read_text(encoding="utf-8") == "mine"


def test_the_chapters_do_not_run_on_the_broker_that_workers_were_told_of(course, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(lab, "open_lab", lambda *_, **__: opened.append(os.environ.get("EDAKIT_BROKER")))
    monkeypatch.setenv("EDAKIT_BROKER", "amqp://user:password@broker.example/shop")

    assert cli.main(["lab", "--no-browser"]) == 0

    assert opened == [None]
    assert "EDAKIT_BROKER is left out: the chapters say themselves which broker they run on." in capsys.readouterr().out
