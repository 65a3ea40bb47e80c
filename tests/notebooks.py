"""Small notebooks for the tests of what reads and writes notebooks."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from edakit.classroom.files import notebook_text


def text(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)} if tags else {})


def code(source, *tags, outputs=(), count=None):
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {}, outputs=list(outputs), execution_count=count)


def answer(number, source):
    return new_code_cell(source, metadata={"nbgrader": _nbgrader(f"answer_{number}", solution=True)})


def check(number, source, points=2):
    return new_code_cell(source, metadata={"nbgrader": _nbgrader(f"check_{number}", solution=False) | {"points": points}})


def notebook(*cells, **metadata):
    return new_notebook(cells=list(cells), metadata=metadata)


def save(path, *cells, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook_text(notebook(*cells, **metadata)), encoding="utf-8")
    return path


def _nbgrader(grade_id, *, solution):
    return {"cell_type": "code", "grade": not solution, "grade_id": grade_id, "locked": not solution, "schema_version": 3, "solution": solution, "task": False}
