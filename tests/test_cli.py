from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

import edakit
from edakit import cli
from edakit.errors import InvalidValueError


@pytest.fixture
def command(monkeypatch):
    """Give `edakit` one more subcommand, `test`, that does what the test says."""

    def install(run):
        monkeypatch.setitem(sys.modules, "test_command", SimpleNamespace(add_arguments=lambda parser: parser.add_argument("--times", type=int), run=run))
        monkeypatch.setitem(cli.COMMANDS, "test", ("test_command", "do something"))

    return install


@pytest.mark.parametrize("name", [name for name, (module, _) in cli.COMMANDS.items() if find_spec(module)])
def test_every_subcommand_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])

    assert ended.value.code == 0
    assert cli.COMMANDS[name][1].lower() in " ".join(capsys.readouterr().out.split()).lower()


def test_a_subcommand_gets_its_arguments_and_gives_the_exit_status(command):
    command(lambda arguments: arguments.times)

    assert cli.main(["test", "--times", "3"]) == 3


def test_an_error_of_ours_is_one_sentence_and_status_1(command, capsys):
    def run(arguments: argparse.Namespace) -> int:
        raise InvalidValueError("speedup", -1, "a number above 0")

    command(run)

    assert cli.main(["test"]) == 1
    assert capsys.readouterr().err == "edakit test: speedup is -1; give a number above 0\n"


def test_ctrl_c_ends_with_the_status_that_shells_expect(command, capsys):
    def run(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    command(run)

    assert cli.main(["test"]) == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no /dev/full, and no signal of a closed pipe")
def test_output_that_cannot_be_written_is_no_traceback(buffered):
    words, environment = [sys.executable, "-m", "edakit", "brokers", "table"], os.environ | {"PYTHONUNBUFFERED": buffered}
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(words, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    reader, writer = os.pipe()
    os.close(reader)
    unread = subprocess.run(words, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)

    assert (said.returncode, unread.returncode, unread.stderr) == (1, 1, "")
    assert said.stderr == (
        "edakit brokers: the output: no space left on device; make sure that its folder is there, that you may write to it, and that the disk has room\n"
    )


def test_a_file_that_cannot_be_written_is_one_sentence_and_status_1(command, capsys, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    command(lambda arguments: (tmp_path / "file" / "below").mkdir())

    assert cli.main(["test"]) == 1
    assert capsys.readouterr().err.startswith(f"edakit test: {tmp_path / 'file' / 'below'}: ")


def test_ctrl_c_while_the_command_is_imported_ends_as_later(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupted)

    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "edakit doctor: stopped\n"


def test_an_error_that_nobody_meant_keeps_its_traceback(command):
    command(lambda arguments: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        cli.main(["test"])


def test_without_a_subcommand_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([])

    assert ended.value.code == 2
    assert "usage: edakit" in capsys.readouterr().err


def test_python_m_edakit_is_the_same_command():
    said = subprocess.run([sys.executable, "-m", "edakit", "--version"], capture_output=True, text=True, check=True).stdout

    assert said == f"edakit {edakit.__version__}\n"


def test_help_comes_at_once_since_it_imports_nothing_heavy():
    code = "import sys, edakit.cli\ntry: edakit.cli.main(['--help'])\nexcept SystemExit: print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "matplotlib", "jupyterlab", "ipywidgets"} & set(loaded)


def test_a_letter_that_the_terminal_does_not_have_is_written_as_its_number_and_the_command_goes_on():
    done = subprocess.run(
        [sys.executable, "-m", "edakit", "brokers", "table"], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2026" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder in which a program is")
@pytest.mark.parametrize("words", [["doctor"], ["lab", "--no-browser"]])
def test_a_current_folder_that_was_removed_is_said(tmp_path, monkeypatch, capsys, words):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert cli.main(words) == 1
    assert capsys.readouterr().err.startswith(f"edakit {words[0]}: the current folder: no such file or directory; make sure that")
