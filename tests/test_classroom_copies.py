from __future__ import annotations

import pytest

from edakit import cli
from edakit.classroom.copies import ChapterFormatError, make_copies, reset, student_copy
from edakit.classroom.files import NotebookFileError, read_notebook
from edakit.errors import InvalidValueError
from tests.notebooks import answer, check, code, notebook, save, text

SOLUTION = """def two():
    "Return two."
    ### BEGIN SOLUTION
    one = 1
    return one + one
    ### END SOLUTION"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two chapters, which is the current folder."""
    for name in ("00_first", "05_fifth"):
        save(tmp_path / "notebooks" / f"{name}.ipynb", text(f"# {name}"), answer("1", SOLUTION), check("1", "check_two(two)"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answered_no(question):
    return "n"


def answered_yes(question):
    return "yes"


def sources(copy):
    return [cell.source for cell in copy.cells]


def test_outputs_and_counts_are_cleared():
    saved = code("1 + 1", outputs=[{"output_type": "execute_result", "data": {"text/plain": "2"}, "metadata": {}, "execution_count": 7}], count=7)

    [cell] = student_copy(notebook(saved)).cells

    assert cell.outputs == []
    assert cell.execution_count is None


def test_a_solution_becomes_a_stub_that_runs_with_its_indentation():
    [cell] = student_copy(notebook(answer("1", SOLUTION))).cells

    assert cell.source == 'def two():\n    "Return two."\n    # YOUR CODE HERE\n    ...'
    namespace = {}
    exec(cell.source, namespace)  # noqa: S102 (whether it runs is the question)
    assert namespace["two"]() is None


def test_two_solutions_in_a_cell_become_two_stubs():
    cell = answer("1", "### BEGIN SOLUTION\na = 1\n### END SOLUTION\nb = 2\n### BEGIN SOLUTION\nc = 3\n### END SOLUTION")

    assert sources(student_copy(notebook(cell))) == ["# YOUR CODE HERE\nb = 2\n# YOUR CODE HERE"]


def test_hidden_tests_are_removed():
    cell = check("1", "check_two(two)\n### BEGIN HIDDEN TESTS\nassert two() == 2\n### END HIDDEN TESTS")

    assert sources(student_copy(notebook(cell))) == ["check_two(two)"]


def test_what_reveals_a_measurement_is_folded_with_empty_lines_around_its_markdown():
    [cell] = student_copy(notebook(text("**Measured.** 36 ms.\n", "reveal"))).cells

    assert cell.source == "<details>\n<summary>Open after the figure</summary>\n\n**Measured.** 36 ms.\n\n</details>"


def test_code_that_reveals_a_measurement_is_hidden_and_still_runs():
    [cell] = student_copy(notebook(code("assert wait == 36", "reveal"))).cells

    assert cell.source == "# Open after the figure\nassert wait == 36"  # JupyterLab shows the first line
    assert cell.metadata.jupyter.source_hidden


def test_cells_for_teachers_are_left_out():
    copy = student_copy(notebook(text("For all."), text("For teachers.", "teacher"), code("1", "teacher")))

    assert sources(copy) == ["For all."]


def test_the_solved_chapter_itself_stays_as_it_is():
    solved = notebook(answer("1", SOLUTION), text("36 ms", "reveal"))

    student_copy(solved)

    assert sources(solved) == [SOLUTION, "36 ms"]


def test_whatever_belongs_to_the_chapter_comes_along():
    solved = notebook(answer("1", SOLUTION), edakit={"version": "0.1.0"}, widgets={"state": {}})

    copy = student_copy(solved)

    assert copy.metadata == {"edakit": {"version": "0.1.0"}}
    assert copy.cells[0].metadata.nbgrader.grade_id == "answer_1"
    assert copy.cells[0].id == solved.cells[0].id


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\n1",
        "1\n### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS\n### END SOLUTION",
        "### BEGIN SOLUTION\n### END HIDDEN TESTS",
    ],
)
def test_a_mark_without_its_counterpart_is_refused_before_a_solution_gets_out(source):
    with pytest.raises(ChapterFormatError, match="each on a line of its own"):
        student_copy(notebook(code(source)))


def test_copies_are_made_once_and_never_overwritten(course):
    first = make_copies(course / "notebooks", course / "work")
    mine = course / "work" / "00_first.ipynb"
    mine.write_text("my work", encoding="utf-8")

    second = make_copies(course / "notebooks", course / "work")

    assert [path.name for path in first] == ["00_first.ipynb", "05_fifth.ipynb"]
    assert second == []
    assert mine.read_text(encoding="utf-8") == "my work"


def test_a_chapter_that_is_new_gets_its_copy_beside_those_that_are_there(course):
    make_copies(course / "notebooks", course / "work")
    save(course / "notebooks" / "06_sixth.ipynb", text("# 6"))

    assert [path.name for path in make_copies(course / "notebooks", course / "work")] == ["06_sixth.ipynb"]


def test_a_chapter_that_cannot_be_read_is_named(course):
    (course / "notebooks" / "06_sixth.ipynb").write_text("{", encoding="utf-8")

    with pytest.raises(NotebookFileError, match=r"06_sixth\.ipynb cannot be read as a notebook"):
        make_copies(course / "notebooks", course / "work")


def test_reset_asks_first_and_changes_nothing_without_a_yes(course):
    make_copies(course / "notebooks", course / "work")
    mine = course / "work" / "05_fifth.ipynb"
    mine.write_text("my work", encoding="utf-8")

    assert reset("05", course / "notebooks", course / "work", answered_no) is None
    assert mine.read_text(encoding="utf-8") == "my work"


def test_reset_keeps_each_old_file(course):
    make_copies(course / "notebooks", course / "work")
    mine = course / "work" / "05_fifth.ipynb"

    kept = []
    for work in ("first", "second"):
        mine.write_text(work, encoding="utf-8")
        kept.append(reset("5", course / "notebooks", course / "work", answered_yes))

    assert [path.read_text(encoding="utf-8") for path in kept] == ["first", "second"]
    assert {path.parent for path in kept} == {course / "work" / "before-reset"}
    assert "YOUR CODE HERE" in read_notebook(mine).cells[1].source


def test_reset_asks_nothing_where_there_is_no_copy_yet(course):
    assert reset("05", course / "notebooks", course / "work", answered_no) is None
    assert (course / "work" / "05_fifth.ipynb").exists()


@pytest.mark.parametrize("chapter", ["07", "", "x", "0"])
def test_reset_of_an_unknown_chapter_says_which_there_are(course, chapter):
    if chapter == "0":
        save(course / "notebooks" / "00_another.ipynb", text("# 0"))
    with pytest.raises(InvalidValueError, match=r"one of 00, .*05"):
        reset(chapter, course / "notebooks", course / "work", answered_yes)


def test_the_command_reset_asks_and_says_where_the_old_file_is(course, monkeypatch, capsys):
    make_copies(course / "notebooks", course / "work")
    monkeypatch.setattr("builtins.input", answered_yes)

    assert cli.main(["reset", "05"]) == 0

    assert "yours is work/before-reset/05_fifth-1.ipynb now" in capsys.readouterr().out


def test_the_command_reset_takes_silence_for_a_no(course, monkeypatch, capsys):
    make_copies(course / "notebooks", course / "work")

    def nobody(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)

    assert cli.main(["reset", "05"]) == 1
    assert capsys.readouterr().out == "Nothing was changed.\n"
    assert cli.main(["reset", "05", "--yes"]) == 0


def test_the_command_reset_makes_a_copy_that_is_not_there(course, capsys):
    assert cli.main(["reset", "05"]) == 0

    assert "made 00_first.ipynb, 05_fifth.ipynb in work/" in capsys.readouterr().out


def test_the_command_release_writes_all_copies_anew(course, capsys):
    assert cli.main(["release"]) == 0
    (course / "dist" / "00_first.ipynb").write_text("old", encoding="utf-8")
    assert cli.main(["release"]) == 0

    assert "2 copies are in dist/: 00_first.ipynb, 05_fifth.ipynb" in capsys.readouterr().out
    assert "YOUR CODE HERE" in read_notebook(course / "dist" / "00_first.ipynb").cells[1].source


@pytest.mark.parametrize("target", ["work", "notebooks"])
def test_the_command_release_does_not_write_where_somebody_works(course, target, capsys):
    assert cli.main(["release", target]) == 1

    assert "a folder that nobody works in" in capsys.readouterr().err
    assert "BEGIN SOLUTION" in read_notebook(course / "notebooks" / "00_first.ipynb").cells[1].source
