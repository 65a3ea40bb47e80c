"""The chapters as they are saved; and whether the rules would notice if they were not as they should be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_output

from edakit.classroom.copies import CHAPTERS
from edakit.classroom.exercises import MIME, exercise
from edakit.classroom.rerun import tidy
from tests.notebook_rules import BYTES, RULES, Chapter, numbers, read, sentences
from tests.notebooks import answer, check, code, notebook, save, text

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
SAYS = "The wait rises from 10 to 36 ms."


@pytest.mark.parametrize("rule", RULES)
def test_of_every_chapter(rule):
    wrong = {path.name: list(RULES[rule](read(path))) for path in sorted(NOTEBOOKS.glob(CHAPTERS))}

    assert {name: problems for name, problems in wrong.items() if problems} == {}


def test_every_chapter_is_operated_in_a_browser():
    numbers = {path.name[:2] for path in NOTEBOOKS.glob(CHAPTERS)}

    assert {path.stem[-2:] for path in (ROOT / "tests" / "browser").glob("test_chapter_*.py")} == numbers


def test_every_notebook_is_a_chapter():
    assert sorted(NOTEBOOKS.rglob("*.ipynb")) == sorted(NOTEBOOKS.glob(CHAPTERS))


# A chapter that is as it should be, and each way in which it may not


def result(shown):
    return new_output("execute_result", {"text/plain": shown}, execution_count=1)


def picture(alt=SAYS):
    return new_output("display_data", {"image/png": "iVBORw0=", "text/plain": "<Figure size 640x480 with 1 Axes>"}, metadata={"image/png": {"alt": alt}})


def passed(points=1):
    return new_output("execute_result", {"text/plain": "passed", MIME: {"exercise": "07.1", "points": points, "of": 1}}, execution_count=1)


FIGURE = "fig, ax = plt.subplots()\nplot_wait(ax, RATES, guess=prediction('wait_at_90'))"
BEGIN = "# 7. Queues\n> **The question.** Where does the second come from?\n> *35 minutes. Needs chapter 05.*"


def cells(**changes):
    """Return the cells of a good chapter by name; *changes* take the place of some, None leaves one out."""
    good = {
        "title": text(BEGIN),
        "imports": code("%matplotlib inline\nfrom matplotlib import pyplot as plt\nfrom edakit.widgets import queue_dial"),
        "constants": code("RATES = [100, 225]\nCHOICES = 250"),
        "term": text('**Utilisation** (<span lang="zh">利用率</span>) is the share of time that a worker is busy.'),
        "predict": text("**Predict.** At 225 orders a second the worker is busy 90 % of the time. How long does an order wait?"),
        "field": code('predict("wait_at_90", unit="ms")', outputs=[result("Prediction wait_at_90 [ms]: No guess yet.")]),
        "figure": code(FIGURE, outputs=[result(f"rate  wait\n100  10.5\n225  36.2\n{SAYS}"), picture()]),
        "measured": text("**Measured.** The load little more than doubles, and the wait rises to 36 ms at 90 %.", "reveal"),
        "side by side": code('measured("wait_at_90", table.wait, "ms")', outputs=[new_output("stream", name="stdout", text="No guess; measured 36 ms\n")]),
        "held": code("assert abs(table.wait - 36) < 1", "reveal"),
        "live": code("queue_dial()", outputs=[result("queue_dial: 100 orders a second")]),
        "recorded": code(FIGURE, outputs=[result(f"rate  wait\n{SAYS}"), picture()]),
        "claims": code('claims("07")', "claims", outputs=[result("section  claim\n2.2      holds")]),
        "task": text("### Exercise 07.1: Two"),
        "answer": answer("07_1", "def two():\n    ### BEGIN SOLUTION\n    return 2\n    ### END SOLUTION"),
        "check": check("07_1", "check_07_1(two)", points=1),
        "rest": text("It reads aloud. " * 120),
    }
    good["check"].outputs = [passed()]
    wanted = {name: changes.get(name, cell) for name, cell in good.items()} | {name: cell for name, cell in changes.items() if name not in good}
    first, *others = [cell for cell in wanted.values() if cell is not None]
    return [first, *(text("More.") for _ in range(23)), *others]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Save a chapter with the given changes; return it as the rules see it."""
    monkeypatch.setattr("tests.notebook_rules.points_of", lambda number: 1)
    monkeypatch.setitem(sys.modules, "edakit.classroom.checks.ch07", SimpleNamespace())  # this chapter is another one than the course's
    save(tmp_path / "05_measure.ipynb", text("# 5"))

    def chapter(**changes):
        made = notebook(*cells(**changes))
        for count, cell in enumerate((cell for cell in made.cells if cell.cell_type == "code"), 1):
            cell.execution_count = count
        made = tidy(nbformat.from_dict(made))
        return Chapter(save(tmp_path / "07_queues.ipynb", *made.cells, **made.metadata), made, frozenset({"05_measure.ipynb", "07_queues.ipynb"}))

    return chapter


@pytest.mark.parametrize("rule", RULES)
def test_a_good_chapter_breaks_no_rule(make, rule):
    assert list(RULES[rule](make())) == []


PLOTLESS = code(FIGURE, outputs=[result("rate")])
WRONG = {
    "a number of its measurement stands in the text": ({"task": text("### Exercise 07.1: why 36 ms?")}, "gives away 36"),
    "a number of its measurement stands in an assert": ({"held": code("assert abs(table.wait - 36) < 1")}, "gives away 36"),
    "a number of its measurement stands in a comment": ({"constants": code("RATES = [100, 225]  # gives 36 ms")}, "gives away 36"),
    "the question holds its answer": (
        {"predict": text("**Predict.** At 225 orders, is it 36 ms?"), "measured": text("It is 36 ms.", "reveal")},
        "gives away 36",
    ),
    "a share of its measurement is written as a fraction": ({"measured": text("45 %", "reveal"), "task": text("### Why 0.45?")}, "gives away"),
    "what was measured is not folded": ({"measured": text("**Measured.** 36 ms.")}, "is not tagged reveal"),
    "the measurement is typed by hand": ({"side by side": code('measured("wait_at_90", 36.2, "ms")')}, "typed by hand"),
    "it is compared before it is predicted": ({"term": code('measured("wait_at_90", table.wait)')}, "is not preceded by predict"),
    "nobody was asked": ({"field": None}, "not preceded by predict"),
    "a guess was saved": ({"field": code('predict("wait_at_90", 40, unit="ms")')}, "holds a guess"),
    "the field shares its cell": ({"field": code('predict("wait_at_90")\nRATES')}, "does something else"),
    "the field has no question": ({"predict": None}, r"no text that begins with \*\*Predict"),
    "one guess is asked for twice": ({"again": code('predict("wait_at_90")')}, "predicted twice"),
    "a figure has no alternative text": ({"figure": code(FIGURE, outputs=[result("rate"), picture(alt="")])}, "without alternative text"),
    "a figure was not saved": ({"figure": PLOTLESS}, "has no picture"),
    "a figure has no table": ({"figure": code("fig, ax = plt.subplots()", outputs=[picture()])}, "no table"),
    "a figure is only its name": ({"figure": code("fig", outputs=[result("<Figure size 640x480 with 1 Axes>")])}, "has no picture"),
    "a widget has no recorded run": ({"recorded": None}, "no picture of a recorded run"),
    "a cell is long": ({"constants": code("RATES = [\n" + "100,\n" * 14 + "]")}, "16 lines"),
    "a star is imported": ({"constants": code("from edakit import *")}, r"import \*"),
    "a tag is misspelt": ({"measured": text("**Measured.** 36", "reveal", "revael")}, "revael"),
    "a text is not compared": ({"term": text('<span lang="zh">事件</span>', "nbval-ignore-output")}, "nbval-ignore-output"),
    "figures are not inline": ({"imports": code("from matplotlib import pyplot as plt")}, "no %matplotlib inline"),
    "an output names a folder": ({"live": code("x", outputs=[result("saved in /home/me/course/x.png")])}, "/home/me"),
    "an output names a drive": ({"live": code("x", outputs=[result(r"saved in C:\course\x.png")])}, "C:"),
    "an error was saved": ({"live": code("x", outputs=[new_output("error", ename="NameError", evalue="x", traceback=[])])}, "has failed: NameError"),
    "a warning was saved": ({"live": code("x", outputs=[new_output("stream", name="stderr", text="Warning")])}, "writes to stderr"),
    "nothing is said of what depends on the machine": ({"live": code("x", "nbval-ignore-output"), "recorded": code("y", "nbval-ignore-output")}, "must hold"),
    "it is short": ({"title": None, "rest": None, "term": None, "task": None, "live": None}, "35 cells"),
    "it has little text": ({"rest": text("Short.")}, "words for"),
    "its title lacks the number": ({"title": text("# Queues\n**The question.** *35 minutes*")}, "# 7. Title"),
    "it has no question": ({"title": text("# 7. Queues\n*35 minutes*")}, "no \\*\\*The question"),
    "it does not say how long": ({"title": text("# 7. Queues\n**The question.**")}, "minutes"),
    "it needs a chapter that is not there": ({"title": text(BEGIN.replace("05", "03"))}, "Needs names chapter 03"),
    "it links to a chapter that is not there": ({"task": text("See [the queue](03_queue.ipynb#ack).")}, "links to 03_queue"),
    "a sentence is too long": ({"task": text("word " * 30 + "word.")}, "31 words"),
    "many sentences are long": ({"rest": text(("word " * 21 + ". Word ") * 60)}, "sentences have 20 words or more"),
    "chinese is not marked": ({"task": text("Events (事件) happen.")}, "Chinese outside"),
    "it has no chinese term": ({"term": None}, "no term of the article"),
    "it has no claims": ({"claims": None}, r"one cell with claims\(.07.\)"),
    "it has the claims of another chapter": ({"claims": code('claims("06")', "claims")}, r"one cell with claims\(.07.\)"),
    "an answer has no check": ({"check": None}, "07_1 has no check"),
    "a check has no answer": ({"answer": None}, "come after answer_07_1"),
    "a check has other points": ({"check": check("07_1", "check_07_1(two)", points=3)}, "gives 3 points, its check 1"),
    "a check is called something else": ({"check": check("07_1", "two() == 2", points=1)}, "must be locked, call"),
    "an exercise is not marked as one": ({"answer": code("### BEGIN SOLUTION\n2\n### END SOLUTION")}, "no nbgrader metadata"),
    "an answer has no marks": ({"answer": answer("07_1", "two = 2")}, "without ### BEGIN SOLUTION"),
    "an id stands at two cells": ({"again": check("07_1", "check_07_1(two)", points=1)}, "'check_07_1' stands at 2 cells"),
    "its own answer is wrong": ({"check": check("07_1", "check_07_1(two)", points=1)}, "has not passed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_is_noticed_when(make, name):
    changes, complaint = WRONG[name]
    chapter = make(**changes)

    problems = [problem for rule in RULES.values() for problem in rule(chapter)]

    assert [problem for problem in problems if re.search(complaint, problem)], problems


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda chapter: chapter.code[0].update(source="%matplotlib inline\nother = 1"), "belong to other code"),
        (lambda chapter: chapter.code[3].update(execution_count=9), "execution counts are not 1..n"),
        (lambda chapter: chapter.notebook.metadata.language_info.update(version="3.11.7"), "kernel or a version"),
        (lambda chapter: chapter.notebook.metadata.update(widgets={}), "state or the view of a widget"),
        (lambda chapter: chapter.path.write_bytes(b" " * (BYTES + 1)), "1,000,001 bytes"),
    ],
)
def test_it_is_noticed_when_a_chapter_was_not_saved_by_make_notebooks(make, spoil, complaint):
    chapter = make()
    spoil(chapter)

    assert any(complaint in problem for rule in RULES.values() for problem in rule(chapter))


def test_a_check_that_the_course_has_and_the_chapter_has_not_is_noticed(make, monkeypatch):
    @exercise("07.2", "Three", hints=("a", "b", "c"))
    def check_07_2(three):
        """Look."""

    monkeypatch.setitem(sys.modules, "edakit.classroom.checks.ch07", SimpleNamespace(check_07_2=check_07_2))

    assert list(RULES["it has all exercises that have a check"](make())) == ["no cell is check_07_2"]


def test_sentences_are_counted_without_code_headings_and_tables():
    source = "# A title that is no sentence\n\n```\ncode here\n```\n\n**One.** Two, e.g. this: no.\n- three\n\n| a | b |\n|---|---|\n\nFour [link](x.ipynb)?"

    assert list(sentences(source)) == ["One.", "Two, e.g. this: no.", "three", "Four link?"]


def test_numbers_are_compared_whichever_way_they_are_written():
    assert {0.9, 90.0} <= numbers("90 %") & numbers("0.9")
    assert numbers("10,000 events") & numbers("10000")
    assert numbers("2 of 3 in Exercise 07.1") == set()


# nbval itself


@pytest.mark.parametrize(("saved", "status"), [("2", 0), ("3", 1)])
def test_a_wrong_saved_number_fails_and_a_right_one_passes(tmp_path, saved, status):
    save(tmp_path / "00_first.ipynb", code("1 + 1", outputs=[result(saved)], count=1))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "--rootdir", str(tmp_path), str(tmp_path)]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == status, done.stdout + done.stderr
    assert ("Cell execution caused an exception" in done.stdout or "mismatch" in done.stdout) == (saved == "3")
