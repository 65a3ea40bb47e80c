"""Graded and re-run notebooks: real kernels, so few and small."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from nbformat.v4 import new_code_cell, new_output

from edakit import cli
from edakit.classroom import copies
from edakit.classroom.execute import MOST_OUTPUT, NotebookStuckError, execute
from edakit.classroom.exercises import MIME
from edakit.classroom.files import read_notebook
from edakit.classroom.grade import Grade, grade
from edakit.classroom.rerun import alt_text, code_digest, rerun, tidy
from tests.notebooks import answer, check, code, notebook, save, text

CHECKS = """from edakit.classroom import NotYetError, answered, exercise

@exercise("00.1", "Two", points=2, hints=("a", "b", "c"))
def check_two(two):
    if answered(two(), "two()") != 2:
        raise NotYetError("3", "2", "So.", "it")

@exercise("00.2", "Three", points=3, hints=("a", "b", "c"))
def check_three(three):
    answered(three, "three")"""
TWO = "def two():\n    ### BEGIN SOLUTION\n    return 2\n    ### END SOLUTION"
THREE = "three = ...\n### BEGIN SOLUTION\nthree = 3\n### END SOLUTION"


def solved(*, two=TWO):
    return code(CHECKS), answer("00_1", two), check("00_1", "check_two(two)"), answer("00_2", THREE), check("00_2", "check_three(three)", points=3)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one chapter with two exercises, which is the current folder."""
    save(tmp_path / "notebooks" / "00_first.ipynb", *solved())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_solved_chapter_gets_full_marks_and_the_blank_copy_none(course, capsys):
    copies.make_copies(course / "notebooks", course / "work")

    assert cli.main(["grade", "notebooks/00_first.ipynb"]) == 0
    assert "2 of 2 correct, 5 of 5 points." in capsys.readouterr().out

    assert cli.main(["grade", "work/00_first.ipynb"]) == 1
    said = capsys.readouterr().out
    assert "0 of 2 correct, 0 of 5 points." in said
    assert said.count("nothing here yet: ") == 2


def test_some_points_are_enough_where_less_is_asked_for(course, capsys):
    wrong = save(course / "00_mine.ipynb", *solved(two="def two():\n    return 3"))

    assert cli.main(["grade", str(wrong), "--min", "60"]) == 0
    assert "1 of 2 correct, 3 of 5 points." in capsys.readouterr().out


def test_checks_that_a_student_has_changed_copied_or_lost_are_put_back(course):
    cells = [*solved(two="def two():\n    return 3")]
    cells[2].source = "from edakit.classroom.exercises import Verdict\nVerdict(check_two.exercise, 'passed', '')"
    copied = check("00_1", cells[2].source)
    handed_in = save(course / "00_mine.ipynb", *cells[:3], copied, cells[3])

    grades = grade(handed_in, course / "notebooks" / "00_first.ipynb")

    assert grades == [
        Grade("00.1", 0, 2, "not yet: Seen: 3. Expected: 2. So. Look at it."),
        Grade("00.2", 3, 3, "passed"),
    ]


def test_a_cell_that_fails_costs_its_own_exercise_only(course):
    handed_in = save(course / "00_mine.ipynb", *solved(two="def two(:"))

    first, second = grade(handed_in)

    assert (first.exercise, first.points, first.full) == ("00.1", 0, 2)
    assert first.says.startswith("not yet: NameError: name 'two' is not defined; before it: SyntaxError: ")
    assert second.points == 3


def test_a_check_that_was_moved_before_its_answer_looks_at_it_all_the_same(course):
    chapter, answered, checked, *others = solved()
    handed_in = save(course / "00_mine.ipynb", chapter, checked, answered, *others)

    assert [each.points for each in grade(handed_in, course / "notebooks" / "00_first.ipynb")] == [2, 3]


def test_an_answer_that_was_written_into_the_cell_of_its_check_counts(course):
    chapter, _, checked, *others = solved()
    checked.source = "def two():\n    return 2\n" + checked.source
    handed_in = save(course / "00_mine.ipynb", chapter, answer("00_1", "# below"), checked, *others)

    assert [each.points for each in grade(handed_in, course / "notebooks" / "00_first.ipynb")] == [2, 3]


@pytest.mark.parametrize("forged", ["'x'", "{'exercise': '00.1', 'points': 1000, 'of': 2}"])
def test_a_verdict_that_an_answer_displays_is_not_that_of_its_check(course, forged):
    mine = f"def two():\n    display({{'{MIME}': {forged}}}, raw=True)\n    return 3"

    assert [each.points for each in grade(save(course / "00_mine.ipynb", *solved(two=mine)))] == [0, 3]


def test_a_name_that_a_student_has_given_to_something_else_is_the_courses_check_again(tmp_path):
    begin = code("from edakit.classroom.checks.ch06 import check_06_1")
    task = answer("06_1", "def wait(rate, takes, variability):\n    return 0.0"), check("06_1", "check_06_1(wait)")
    chapter = save(tmp_path / "06_solved.ipynb", begin, *task)
    generous = code("from edakit.classroom.exercises import Verdict\nabout = check_06_1.exercise\ncheck_06_1 = lambda _: Verdict(about, 'passed', '')")
    handed_in = save(tmp_path / "mine.ipynb", begin, generous, *task)

    assert [each.points for each in grade(handed_in)] == [2]
    assert [each.points for each in grade(handed_in, chapter)] == [0]


def test_a_renamed_copy_is_graded_by_the_chapter_that_it_comes_from(course, capsys):
    save(course / "notebooks" / "06_other.ipynb", code("from edakit import App"), check("06_1", "1"))
    save(course / "hand in" / "06 Jörg.ipynb", *solved())
    save(course / "hand in" / "homework.ipynb", *solved(two="def two():\n    return 3")[:2], check("00_1", "check_two(lambda: 2)", points=50))

    assert cli.main(["grade", "hand in"]) == 1

    said = capsys.readouterr().out
    assert "2 of 2 correct, 5 of 5 points." in said
    assert "0 of 2 correct, 0 of 5 points." in said


def test_students_are_told_apart_by_their_folders_and_a_broken_notebook_costs_nobody_else(course, capsys):
    for student in ("ann", "bob"):
        save(course / "in" / student / "00_first.ipynb", *solved())
    (course / "in" / "ann" / "odd.ipynb").write_text('{"nbformat": 4, "nbformat_minor": 99, "metadata": {}, "cells": 7}', encoding="utf-8")
    save(course / "in" / ".ipynb_checkpoints" / "00_first.ipynb", *solved())

    assert cli.main(["grade", "in", "--csv", "points.csv"]) == 1

    ann, odd, bob = (str(Path("in") / name) for name in ("ann/00_first.ipynb", "ann/odd.ipynb", "bob/00_first.ipynb"))
    overview = capsys.readouterr().out.partition("3 notebooks")[2].splitlines()
    assert [line.split() for line in overview[2:5]] == [[ann, "2", "5", "5"], [odd, "not", "graded"], [bob, "2", "5", "5"]]
    rows = list(csv.DictReader((course / "points.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [(row["file"], row["exercise"], row["points"], row["of"]) for row in rows] == [
        (ann, "00.1", "2", "2"),
        (ann, "00.2", "3", "3"),
        (odd, "", "", ""),
        (bob, "00.1", "2", "2"),
        (bob, "00.2", "3", "3"),
    ]
    assert rows[2]["verdict"].startswith("not graded. odd.ipynb cannot be read as a notebook (")


def test_a_notebook_that_removes_and_overwrites_what_lies_beside_it_changes_no_other_grade(course, capsys):
    careless = "import pathlib\nfor file in pathlib.Path().iterdir():\n    file.unlink()\npathlib.Path('points.csv').write_text('ann,100')"
    save(course / "in" / "ann.ipynb", code(careless), *solved())
    save(course / "in" / "bob.ipynb", *solved())

    assert cli.main(["grade", "in", "--csv", "in/points.csv"]) == 0

    assert "2 notebooks" in capsys.readouterr().out
    rows = list(csv.DictReader((course / "in" / "points.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [(Path(row["file"]).name, row["points"]) for row in rows] == [("ann.ipynb", "2"), ("ann.ipynb", "3"), ("bob.ipynb", "2"), ("bob.ipynb", "3")]


def test_an_edakit_that_lies_beside_a_notebook_is_not_the_courses(course, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    handed_in = save(course / "in" / "00_mine.ipynb", *solved())
    (course / "in" / "edakit.py").write_text("", encoding="utf-8")

    assert [each.points for each in grade(handed_in)] == [2, 3]


def test_a_kernel_that_does_not_start_and_metadata_that_no_program_writes_cost_nobody_else(course, capsys):
    save(course / "in" / "ann" / "00.ipynb", *solved())
    (course / "in" / "ann" / "ipykernel_launcher.py").write_text("", encoding="utf-8")
    odd = [*solved()]
    odd[1].metadata.nbgrader["grade_id"] = []
    save(course / "in" / "bob" / "00.ipynb", *odd)
    save(course / "in" / "cai" / "00.ipynb", *solved())

    assert cli.main(["grade", "in"]) == 1

    said = capsys.readouterr()
    assert "its kernel did not start (kernel died before replying to kernel_info); look for a file beside it with the name of a module" in said.err
    assert f"{Path('in/bob/00.ipynb')}: not graded. TypeError: " in said.err
    assert said.out.count("2 of 2 correct, 5 of 5 points.") == 1


def test_a_kernel_that_does_not_start_is_started_once_more(course):
    """As one does whose port another program took between Jupyter's look and its own."""
    handed_in = save(course / "in" / "00.ipynb", *solved())
    (course / "in" / "ipykernel_launcher.py").write_text("import os\nos.remove(__file__)\nraise SystemExit('Address already in use')\n", encoding="utf-8")

    assert [each.points for each in grade(handed_in)] == [2, 3]
    assert not (course / "in" / "ipykernel_launcher.py").exists()


def test_nobody_is_graded_on_the_broker_of_the_class(course, monkeypatch):
    monkeypatch.setenv("EDAKIT_BROKER", "amqp://guest:guest@class.example/shop")
    mine = "from edakit import App, Component\ntwo = lambda: 2 if App(Component('mine')).broker == 'memory://' else 3"

    assert grade(save(course / "00_mine.ipynb", *solved(two=mine)))[0].points == 2


def test_files_that_are_no_notebooks_are_named_and_the_others_are_graded(course, capsys):
    (course / "broken.ipynb").write_text("{", encoding="utf-8")

    assert cli.main(["grade", "broken.ipynb", "none.ipynb", "notebooks/00_first.ipynb"]) == 1

    said = capsys.readouterr()
    assert "broken.ipynb: not graded. broken.ipynb cannot be read as a notebook (" in said.err
    assert "none.ipynb cannot be read as a notebook (there is no such file)" in said.err
    assert "2 of 2 correct" in said.out


def test_a_notebook_without_exercises_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "notes.ipynb", code("1"))

    assert cli.main(["grade", str(path)]) == 1
    assert f"{path}: not graded. notes.ipynb has no cell in common with a chapter" in capsys.readouterr().err


def test_a_folder_without_solved_chapters_is_refused_and_nobody_is_graded_with_checks_of_their_own(course, capsys):
    assert cli.main(["grade", "notebooks/00_first.ipynb", "--source", "notebook"]) == 1

    said = capsys.readouterr()
    assert "--source is 'notebook'; give a folder with the solved chapters" in said.err
    assert said.out == ""


def test_a_share_that_makes_no_sense_is_refused(course, capsys):
    assert cli.main(["grade", "notebooks/00_first.ipynb", "--min", "200"]) == 1
    assert "--min is 200.0; give a share from 0 to 100 [%]" in capsys.readouterr().err


def test_a_notebook_that_does_not_end_is_given_up(tmp_path):
    endless = notebook(code("while True: pass"))

    def given_up(seconds):
        before = time.monotonic()
        with pytest.raises(NotebookStuckError, match=rf"endless\.ipynb did not come to its end: still running after {seconds} s, at ") as caught:
            execute(endless, tmp_path / "endless.ipynb", seconds=seconds)
        assert time.monotonic() - before < seconds + 40
        return str(caught.value)

    # On a busy machine a kernel may need longer to begin with its first cell.
    assert any("at the cell that begins with `while" in given_up(seconds) for seconds in (2, 10, 60))


def test_a_cell_that_runs_or_prints_without_end_is_interrupted_and_the_others_have_their_turn(tmp_path):
    endless = "import time\nwhile True: time.sleep(0.01)"
    chatty = "while True: print('x' * 10_000)"

    done = execute(notebook(code(endless), code("1"), code(chatty), code("2")), tmp_path / "endless.ipynb", keep_going=True, cell_seconds=3).cells

    assert [cell.outputs[-1].get("ename") for cell in done] == ["KeyboardInterrupt", None, "KeyboardInterrupt", None]
    assert [done[number].outputs[0].data["text/plain"] for number in (1, 3)] == ["1", "2"]
    assert sum(len(output.get("text", "")) for output in done[2].outputs) <= MOST_OUTPUT


def test_a_check_is_given_the_time_that_it_gives_to_an_answer(tmp_path):
    slow = "import time\ntime.sleep(3)\n1"

    other, checked = execute(notebook(code(slow), check("00_1", slow)), tmp_path / "slow.ipynb", keep_going=True, cell_seconds=1).cells

    assert other.outputs[-1].ename == "KeyboardInterrupt"
    assert checked.outputs[0].data["text/plain"] == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_ends_a_run_and_its_kernel(tmp_path):
    begun = tmp_path / "begun"
    cell = f"import os, pathlib, time\npathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\ntime.sleep(50)"
    path = save(tmp_path / "00_first.ipynb", code(cell))
    # Where a shell started the tests in the background, Ctrl-C is ignored by all that they start.
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from edakit.cli import main; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", program, "rerun", str(path)], stderr=subprocess.PIPE, text=True) as process:
        while not begun.exists() or not begun.read_text(encoding="utf-8"):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert (process.returncode, said) == (130, "edakit rerun: stopped\n")
    assert not psutil.pid_exists(int(begun.read_text(encoding="utf-8")))


def test_a_kernel_that_dies_is_reported(tmp_path):
    with pytest.raises(NotebookStuckError, match=r"its kernel died at the cell that begins with `import os`"):
        execute(notebook(code("import os\nos._exit(3)")), tmp_path / "dying.ipynb")


FIGURE = """%matplotlib inline
import os
from matplotlib import pyplot
from edakit import Table
fig, ax = pyplot.subplots(figsize=(1, 1))
_ = ax.plot([1, 2])
Table(("PROGRESS",), [(os.environ["EDAKIT_PROGRESS"],)], says="The line rises from 1 to 2.")"""


def test_two_tables_of_one_cell_are_both_told_by_its_alternative_text():
    shown = new_output("display_data", {"text/plain": "a\n1\nThe left one rises."})
    drawn = new_output("display_data", {"text/plain": "<Figure size 100x100 with 2 Axes>", "image/png": "iVBORw0="})
    returned = new_output("execute_result", {"text/plain": "b\n2\nThe right one falls."}, execution_count=1)

    assert alt_text(new_code_cell("draw()", outputs=[shown, returned, drawn])) == "The left one rises. The right one falls."


def test_a_chapter_is_saved_with_outputs_that_name_no_machine_and_no_time(tmp_path):
    path = save(tmp_path / "00_first.ipynb", code(FIGURE), code("1 // 0", "raises-exception"), code("from edakit.classroom import predict\npredict('x')"))

    assert rerun(path)

    chapter = read_notebook(path)
    figure, failing, asked = chapter.cells
    assert [cell.execution_count for cell in chapter.cells] == [1, 2, 3]
    [picture] = [output for output in figure.outputs if output.output_type == "display_data"]
    assert picture.metadata["image/png"] == {"alt": "The line rises from 1 to 2."}
    assert failing.outputs[0].ename == "ZeroDivisionError"
    assert list(asked.outputs[0].data) == ["text/plain"]
    assert chapter.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert "version" not in chapter.metadata.language_info
    assert chapter.metadata.edakit.code == code_digest(chapter)
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    saved = path.read_bytes()

    assert not rerun(path)
    assert path.read_bytes() == saved


def test_a_picture_whose_code_has_changed_is_saved_although_the_text_is_the_same(tmp_path):
    path = save(tmp_path / "00_first.ipynb", code(FIGURE))
    rerun(path)
    chapter = read_notebook(path)
    before = chapter.cells[0].outputs
    chapter.cells[0].source = FIGURE.replace("[1, 2]", "[2, 1]")
    save(path, *chapter.cells, **chapter.metadata)

    assert rerun(path)

    after = read_notebook(path).cells[0].outputs
    assert [output.data.get("text/plain") for output in after] == [output.data.get("text/plain") for output in before]
    assert after != before


def test_a_chapter_that_fails_stays_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "notebooks" / "00_first.ipynb", text("# 0"), code("1 // 0"))
    saved = path.read_bytes()

    assert cli.main(["rerun"]) == 1

    said = capsys.readouterr().err
    assert "00_first.ipynb: not saved. a cell of 00_first.ipynb failed" in said
    assert "ZeroDivisionError" in said
    assert path.read_bytes() == saved


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert cli.main(["rerun", str(tmp_path / "07_none.ipynb")]) == 1
    assert "07_none.ipynb" in capsys.readouterr().err


def test_folders_of_this_machine_are_cut_from_tracebacks():
    lines = ["File /home/me/course/edakit/app.py:3, in run", "File C:\\me\\notebooks\\x.py, line 2", "File ~/.venv/lib/python3.11/site-packages/kombu/x.py:7"]
    error = new_output("error", ename="E", evalue="", traceback=lines)

    [cell] = tidy(notebook(code("1", outputs=[error]))).cells

    assert cell.outputs[0].traceback == ["File edakit/app.py:3, in run", "File notebooks\\x.py, line 2", "File site-packages/kombu/x.py:7"]
