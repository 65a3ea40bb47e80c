"""What must hold for each chapter, without running it: a rule a function, which yields a sentence for each thing that is wrong."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edakit.classroom.copies import CHAPTERS, REVEAL, TEACHER, student_copy, tags
from edakit.classroom.exercises import MIME, Check
from edakit.classroom.files import read_notebook
from edakit.classroom.rerun import VIEW, code_digest

CODE_TAGS = {REVEAL, TEACHER, "claims", "nbval-ignore-output", "raises-exception"}
TEXT_TAGS = {REVEAL, TEACHER}
LINES = 15
BYTES = 1_000_000
CELLS = {"00": (25, 36)}  # the course says 30
OTHER_CELLS = (36, 54)  # the course says 40 to 50
LONG, LONGEST, SHARE = 20, 30, 0.05  # words in a sentence: what is long, what is too long, and how many of the long ones are too many
PROSE = 6  # words of text a line of code, at least
RULES = {}


@dataclass(frozen=True)
class Chapter:
    """One chapter, and those that it may refer to."""

    path: Path
    notebook: Any
    others: frozenset[str]

    @property
    def number(self) -> str:
        return self.path.name[:2]

    @property
    def code(self):
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def texts(self):
        return [cell for cell in self.notebook.cells if cell.cell_type == "markdown"]

    def calls(self, name):
        """Yield each call of the function *name*, with the index of its cell."""
        for index, cell in enumerate(self.notebook.cells):
            for node in ast.walk(tree(cell)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                    yield index, node


def read(path):
    return Chapter(path, read_notebook(path), frozenset(other.name for other in path.parent.glob(CHAPTERS)))


def rule(function):
    RULES[function.__name__.replace("_", " ")] = function
    return function


def python(cell):
    """Return the code of *cell* without the lines that are IPython's own."""
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in cell.source.splitlines())


def tree(cell):
    return ast.parse(python(cell)) if cell.cell_type == "code" else ast.Module([], [])


def pictures(cell):
    return [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


def shown(cell):
    """Yield the texts among the outputs of *cell*."""
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield from output.get("traceback", [])
        yield from (value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def head(cell):
    return f"the cell that begins {(cell.source.strip() or 'with nothing').splitlines()[0][:50]!r}"


# The file


@rule
def it_is_small(chapter):
    size = chapter.path.stat().st_size
    if size > BYTES:
        yield f"it has {size:,} bytes"


@rule
def it_was_saved_by_make_notebooks_from_this_code(chapter):
    saved = chapter.notebook.metadata.get("edakit", {}).get("code")
    if saved != code_digest(chapter.notebook):
        yield "its outputs belong to other code; run make notebooks"
    if [cell.execution_count for cell in chapter.code] != list(range(1, len(chapter.code) + 1)):
        yield "execution counts are not 1..n; run make notebooks"


@rule
def its_kernel_is_that_of_every_python(chapter):
    if chapter.notebook.metadata.get("kernelspec", {}).get("name") != "python3" or "version" in chapter.notebook.metadata.get("language_info", {}):
        yield "its metadata name a kernel or a version; run make notebooks"


@rule
def it_holds_no_state_of_a_widget(chapter):
    if "widgets" in chapter.notebook.metadata or any(VIEW in output.get("data", {}) for cell in chapter.code for output in cell.outputs):
        yield "it holds the state or the view of a widget; run make notebooks"


# Code and outputs


@rule
def figures_are_drawn_inline(chapter):
    if not chapter.code or "%matplotlib inline" not in chapter.code[0].source.splitlines():
        yield "its first code cell has no %matplotlib inline"


@rule
def every_figure_was_saved_with_alternative_text(chapter):
    for cell in chapter.code:
        drawn = pictures(cell)
        draws = re.search(r"\bsubplots\(|\bplot_\w+\(|\bFigure\(", cell.source) or any("<Figure" in text for text in shown(cell))
        if draws and not drawn and not re.search(r"^\s*def ", cell.source, re.MULTILINE):
            yield f"{head(cell)} draws and has no picture"
        for output in drawn:
            if len(output.metadata.get("image/png", {}).get("alt", "").split()) < 4:
                yield f"{head(cell)} has a picture without alternative text; end the cell with the table, whose last line says what is seen"


@rule
def every_figure_prints_its_table(chapter):
    for cell in chapter.code:
        if pictures(cell) and "nbval-ignore-output" not in tags(cell) and not any(text and "<Figure" not in text for text in shown(cell)):
            yield f"{head(cell)} has a picture and no table, so nothing of it is compared"


@rule
def every_live_cell_is_followed_by_a_picture(chapter):
    live = {alias.asname or alias.name for cell in chapter.code for node in ast.walk(tree(cell)) for alias in _imported(node, "edakit.widgets")}
    for index, cell in enumerate(chapter.code):
        last = tree(cell).body[-1:]
        called = {node.func.id for part in last for node in ast.walk(part) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        if called & live and not any(map(pictures, chapter.code[index : index + 3])):
            yield f"{head(cell)} shows a widget, and no picture of a recorded run follows"


def _imported(node, module):
    return node.names if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(module) else []


@rule
def cells_are_short(chapter):
    for cell in chapter.code:
        lines = len(cell.source.strip().splitlines())
        if lines > LINES:
            yield f"{head(cell)} has {lines} lines of code"


@rule
def nothing_is_imported_by_a_star(chapter):
    for cell in chapter.code:
        if any(alias.name == "*" for node in ast.walk(tree(cell)) if isinstance(node, ast.ImportFrom) for alias in node.names):
            yield f"{head(cell)} has import *"


@rule
def only_known_tags_are_used(chapter):
    for cell in chapter.notebook.cells:
        unknown = set(tags(cell)) - (CODE_TAGS if cell.cell_type == "code" else TEXT_TAGS)
        if unknown:
            yield f"{head(cell)} has the tags {sorted(unknown)}"


@rule
def no_output_names_a_machine(chapter):
    for cell in chapter.code:
        for text in shown(cell):
            if found := re.search(r"(?<![\w.~>-])/(?:home|root|Users|tmp|work|private|var|opt|usr)/\S*|\b[A-Z]:\\\S*|ipykernel_\d+", text):
                yield f"{head(cell)} shows {found[0]}"


@rule
def no_error_and_no_warning_is_saved(chapter):
    for cell in chapter.code:
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield f"{head(cell)} has failed: {output.ename}"
            if output.get("name") == "stderr":
                yield f"{head(cell)} writes to stderr: {output.text[:80]!r}"


@rule
def what_depends_on_the_machine_is_followed_by_a_verdict(chapter):
    for cell, after in zip(chapter.code, [*chapter.code[1:], None], strict=True):
        if "nbval-ignore-output" in tags(cell) and (after is None or "nbval-ignore-output" in tags(after)):
            yield f"{head(cell)} is compared with nothing, and the next one does not say what must hold of it"


# Text


@rule
def it_has_the_length_of_a_chapter(chapter):
    least, most = CELLS.get(chapter.number, OTHER_CELLS)
    if not least <= len(chapter.notebook.cells) <= most:
        yield f"it has {len(chapter.notebook.cells)} cells, {least} to {most} are right"


@rule
def it_explains_more_than_it_programs(chapter):
    lines = sum(len(cell.source.strip().splitlines()) for cell in chapter.code)
    words = sum(len(cell.source.split()) for cell in chapter.texts)
    if words < PROSE * lines:
        yield f"it has {words} words for {lines} lines of code; 10 to 20 a line read well"


@rule
def it_begins_with_its_number_and_its_question(chapter):
    first = chapter.notebook.cells[0].source if chapter.notebook.cells else ""
    if not re.match(rf"# {int(chapter.number)}\. \S", first):
        yield f"its first line is not `# {int(chapter.number)}. Title`"
    if "**The question.**" not in first:
        yield "its first cell has no **The question.**"
    if not re.search(r"\b\d\d minutes\b", first):
        yield "its first cell does not say how many minutes it takes"


@rule
def it_refers_to_chapters_that_exist(chapter):
    numbers = {name[:2] for name in chapter.others}
    for cell in chapter.texts:
        for link in re.findall(r"\]\(([^)#]+\.ipynb)[^)]*\)", cell.source):
            if link.removeprefix("./") not in chapter.others:
                yield f"{head(cell)} links to {link}"
        for word, rest in re.findall(r"\b(Needs|Next)\b([^.\n]*)", cell.source):
            for number in set(re.findall(r"\b\d\d\b", rest)) - numbers:
                yield f"{word} names chapter {number}, which does not exist"


@rule
def its_sentences_are_short(chapter):
    found = [sentence for cell in chapter.texts for sentence in sentences(cell.source)]
    lengths = [len(sentence.split()) for sentence in found] or [0]
    yield from (f"{length} words: {sentence}" for length, sentence in zip(lengths, found, strict=False) if length > LONGEST)
    long = [sentence for length, sentence in zip(lengths, found, strict=False) if length >= LONG]
    if len(long) > SHARE * len(found):
        yield f"{len(long)} of {len(found)} sentences have {LONG} words or more (mean {statistics.mean(lengths):.1f}), among them: {long[:5]}"


def sentences(source):
    """Yield the sentences of a Markdown text; code, headings and tables are none."""
    text = re.sub(r"```.*?```", "", source, flags=re.DOTALL)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*>|#]|\d+\.)\s)", text):
        block = re.sub(r"^[\s>]*(?:[-*]|\d+\.)\s", "", block.strip())  # noqa: PLW2901 (the same text, bare)
        if block.startswith(("#", "|")):
            continue
        plain = re.sub(r"<[^>]+>|\]\([^)]*\)|[*_\[`]", "", block)
        yield from filter(None, (part.strip() for part in re.split(r"(?<=[.?!:;])\s+(?=[^a-z])", plain.replace("\n", " "))))


@rule
def chinese_terms_say_that_they_are_chinese(chapter):
    terms = 0
    for cell in chapter.texts:
        spans = re.findall(r'<span lang="zh">[^<]*</span>', cell.source)
        terms += len(spans)
        if re.search(r"[\u4e00-\u9fff]", re.sub(r'<span lang="zh">[^<]*</span>', "", cell.source)):
            yield f'{head(cell)} has Chinese outside of <span lang="zh">'
    if not terms:
        yield 'it has no term of the article in Chinese (<span lang="zh">)'


@rule
def it_ends_with_the_claims_of_the_article(chapter):
    found = [index for index, cell in enumerate(chapter.notebook.cells) if "claims" in tags(cell)]
    calls = [(index, node.args[0].value) for index, node in chapter.calls("claims") if node.args and isinstance(node.args[0], ast.Constant)]
    if calls != [(index, chapter.number) for index in found] or len(found) != 1:
        yield f'it needs one cell with claims("{chapter.number}"), tagged claims'
    elif found[0] < len(chapter.notebook.cells) * 0.4:
        yield "the article's claims stand at its beginning; exercises and the optional rest may follow them, the chapter may not"


# Predictions, and what students see


@rule
def predictions_come_before_what_they_are_compared_with(chapter):
    asked = {}
    for index, call in chapter.calls("predict"):
        name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else "?"
        if name in asked:
            yield f"{name!r} is predicted twice"
        asked[name] = index
        if len(call.args) > 1:
            yield f"the solved chapter holds a guess for {name!r}"
        if len(tree(chapter.notebook.cells[index]).body) > 1:
            yield f"the cell with predict({name!r}) does something else too"
        if not index or not chapter.notebook.cells[index - 1].source.startswith("**Predict.**"):
            yield f"no text that begins with **Predict.** stands before predict({name!r})"
    for function in ("prediction", "measured"):
        for index, call in chapter.calls(function):
            name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else "?"
            if asked.get(name, index) >= index:
                yield f"{function}({name!r}) is not preceded by predict({name!r})"
            if function == "measured" and any(map(_is_number, call.args[1:2])):
                yield f"measured({name!r}) has a number typed by hand, which students could read"


def _is_number(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


@rule
def what_was_measured_is_folded_in_copies(chapter):
    for cell in chapter.texts:
        if cell.source.startswith("**Measured.**") and REVEAL not in tags(cell):
            yield f"{head(cell)} is not tagged {REVEAL}"


@rule
def a_copy_shows_no_output_and_no_number_that_it_is_to_reveal(chapter):
    copy = student_copy(chapter.notebook)
    if any(cell.outputs or cell.execution_count for cell in copy.cells if cell.cell_type == "code"):
        yield "its copy has outputs"
    if any("BEGIN SOLUTION" in cell.source or "HIDDEN TESTS" in cell.source for cell in copy.cells):
        yield "its copy has a solution"
    yield from leaks(chapter, copy)


def leaks(chapter, copy):
    """Yield the places in *copy* where a number can be read that only a text tagged `reveal` may tell.

    What stands in the code, asserts and comments aside, is given and no secret. What a prediction's own text says is its question, unless
    it stands in an output as well.
    """
    visible = [cell for cell in copy.cells if REVEAL not in tags(cell)]
    given = set().union(*(numbers(_given(cell)) for cell in visible if cell.cell_type == "code"))
    told = set().union(*(numbers(cell.source) for cell in chapter.texts if REVEAL in tags(cell))) - given
    printed = set().union(*(numbers(text) for cell in chapter.code for text in shown(cell)))
    for cell in visible:
        text = cell.source if cell.cell_type == "markdown" else _asserts_and_comments(cell)
        secret = told & printed if cell.source.startswith("**Predict.**") else told
        for number in sorted(secret & numbers(text)):
            yield f"{head(cell)} gives away {number}"


def numbers(text):
    """Return the numbers in *text*, small whole ones and those of exercises aside; 90 % is 0.9 as well."""
    found = re.findall(r"(?<!Exercise )(?<!\d)\d[\d,]*(?:\.\d+)?", text)
    values = {float(number.replace(",", "")) for number in found}
    telling = {value for value in values if value > 10 or value != int(value)}
    return telling | {round(value / 100, 6) for value in telling} | {round(value * 100, 6) for value in telling if value < 1}


def _given(cell):
    module = tree(cell)
    kept = [node for node in module.body if not isinstance(node, ast.Assert)]
    return "\n".join(map(ast.unparse, kept))


def _asserts_and_comments(cell):
    asserts = [ast.unparse(node) for node in ast.walk(tree(cell)) if isinstance(node, ast.Assert)]
    return "\n".join([*asserts, *re.findall(r"(?:^|\s)#(?!##).*", cell.source)])


# Exercises


@rule
def every_answer_has_a_check_and_every_check_an_answer(chapter):
    seen = Counter()
    open_answers = []
    for cell in chapter.code:
        about = cell.metadata.get("nbgrader")
        marked = "BEGIN SOLUTION" in cell.source
        if about is None:
            if marked:
                yield f"{head(cell)} has a solution and no nbgrader metadata"
            continue
        seen[about.get("grade_id", "")] += 1
        if missing := {"grade", "grade_id", "locked", "schema_version", "solution"} - set(about):
            yield f"{head(cell)} lacks {sorted(missing)} in its nbgrader metadata"
        elif about.solution:
            open_answers.append(about.grade_id.removeprefix("answer_"))
            if not marked:
                yield f"{head(cell)} is an answer without ### BEGIN SOLUTION"
        elif about.grade:
            yield from _check_of(cell, open_answers)
            open_answers = []
    yield from (f"{grade_id!r} stands at {count} cells" for grade_id, count in seen.items() if count > 1)
    yield from (f"the answer {answer} has no check" for answer in open_answers)


def _check_of(cell, answers):
    about = cell.metadata.nbgrader
    number = about.grade_id.removeprefix("check_")
    if number not in answers or not about.locked or not cell.source.startswith(f"check_{number}("):
        yield f"{head(cell)}: {about.grade_id} must be locked, call check_{number}(…), and come after answer_{number}"
    elif about.get("points") != points_of(number):
        yield f"{about.grade_id} gives {about.get('points')} points, its check {points_of(number)}"


def points_of(number):
    """Return the points of the exercise with this number, such as "06_1"; None where there is no such check."""
    try:
        check = getattr(importlib.import_module(f"edakit.classroom.checks.ch{number[:2]}"), f"check_{number}")
    except (ImportError, AttributeError):
        return None
    return check.exercise.points


@rule
def it_has_all_exercises_that_have_a_check(chapter):
    try:
        module = importlib.import_module(f"edakit.classroom.checks.ch{chapter.number}")
    except ImportError:
        return
    wanted = {name for name, value in vars(module).items() if isinstance(value, Check)}
    found = {cell.metadata.nbgrader.get("grade_id") for cell in chapter.code if "nbgrader" in cell.metadata}
    yield from (f"no cell is {name}" for name in sorted(wanted - found))


@rule
def the_solved_chapter_has_full_marks(chapter):
    for cell in chapter.code:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            verdicts = [output.data[MIME] for output in cell.outputs if MIME in output.get("data", {})]
            if not verdicts or verdicts[0]["points"] != verdicts[0]["of"]:
                yield f"{head(cell)} has not passed"
