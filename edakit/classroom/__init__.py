"""The classroom: predictions, exercises and their checks, students' copies, grading.

How a chapter's cells are marked. Tags are what JupyterLab's property inspector calls *cell tags*; exercises have nbgrader's metadata.

    tag                   on                what it does
    reveal                Markdown          in students' copies the text is folded under "Open after the figure": every number that a figure shows
    reveal                code              in students' copies the input is hidden, and runs: asserts that hold those numbers
    teacher               any               is not in students' copies
    claims                code              the cell that ends with `claims("06")`: the article's rows
    nbval-ignore-output   code              the output depends on the machine; the next cell prints a verdict computed from it
    raises-exception      code              an error is the lesson

    An exercise is three cells:
    1. Markdown: `### Exercise 06.1: …`, the task in words, which calls the check will make.
    2. Code, metadata `"nbgrader": {"cell_type": "code", "grade": false, "grade_id": "answer_06_1", "locked": false, "schema_version": 3,
       "solution": true, "task": false}`: the answer between `### BEGIN SOLUTION` and `### END SOLUTION`. In a copy `# YOUR CODE HERE`, and in a function `...`
       after it, stand there instead, with the indentation of the first mark. What the check needs must have a name in the copy too: leave the line
       `def …` outside, or write `kinds = ...` before the marks.
    3. Code, metadata `"nbgrader": {"cell_type": "code", "grade": true, "grade_id": "check_06_1", "locked": true, "points": 2, "schema_version": 3,
       "solution": false, "task": false}`: `check_06_1(wait)` and nothing else, its verdict being the cell's result. The points are those of the check.
       What only the teacher's copy is to try stands between `### BEGIN HIDDEN TESTS` and `### END HIDDEN TESTS`.

    A prediction is two cells: Markdown that begins with `**Predict.**`, and code with `predict("wait_at_90", unit="ms")` and nothing else. After the
    figure, `measured("wait_at_90", 36, "ms")` prints both; in the solved chapter it prints "No guess; measured 36 ms". Each guess has its own name.

    A widget carries the CSS class `edakit-<name>` on its outermost element; the browser tests move each of its sliders by one step and expect its
    picture (an image, canvas, svg, table, or a line with role="status") to change. A cell with a picture of a recorded run follows within two cells.

    A picture's alternative text is the last line of the table that its cell ends with (`says`); `make notebooks` writes it.
"""

from __future__ import annotations

# For chapters: claims, measured, predict, prediction. For checks: Exercise, NotYetError, Verdict, answered, exercise, virtual.
# What teachers use reads notebook files: `edakit.classroom.copies` and its neighbours bring nbformat, for which no chapter should wait (1.4 s).
from edakit.classroom.article import claims
from edakit.classroom.exercises import Check, Exercise, NotYetError, Verdict, answered, exercise, virtual
from edakit.classroom.predictions import measured, predict, prediction

__all__ = [
    "Check",
    "Exercise",
    "NotYetError",
    "Verdict",
    "answered",
    "claims",
    "exercise",
    "measured",
    "predict",
    "prediction",
    "virtual",
]
