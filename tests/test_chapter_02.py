"""Chapter 02: its verdict on a real loop can come out either way, and its own loop is what the text says it is."""

from __future__ import annotations

from collections import defaultdict, deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from edakit import App, Component, Event
from edakit.classroom.checks.ch02 import check_02_1
from edakit.classroom.files import read_notebook

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "02_build_the_event_loop.ipynb"
WORST = {"def": 599.0, "async def": 601.0, "sliced": 46.0, "await": 3.0}  # [ms]


class Asked(Event):
    """The first of a chain."""


class Answered(Event):
    """What its handler publishes."""


@pytest.fixture(scope="module")
def cells():
    return [cell.source for cell in read_notebook(NOTEBOOK).cells if cell.cell_type == "code"]


def cell(cells, begin):
    [found] = [source for source in cells if source.startswith(begin)]
    return found


def verdict(cells, capsys, **worst):
    """Return what the cell after the real runs prints of these worst lags [ms]."""
    exec(cell(cells, "worst = "), {"lags": {name: SimpleNamespace(worst=lag) for name, lag in worst.items()}})  # noqa: S102 (the chapter's own cell)
    return [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()]


def test_the_verdict_holds_for_runs_as_they_are(cells, capsys):
    assert verdict(cells, capsys, **WORST) == ["True", "True", "True"]


@pytest.mark.parametrize(
    ("swapped", "said"),
    [
        (("async def", "sliced"), ["False", "False", "True"]),
        (("def", "sliced"), ["True", "False", "True"]),
        (("def", "await"), ["True", "False", "False"]),
        (("async def", "await"), ["False", "True", "False"]),
    ],
)
def test_the_verdict_is_false_when_two_runs_are_exchanged(cells, capsys, swapped, said):
    one, other = swapped

    assert verdict(cells, capsys, **WORST | {one: WORST[other], other: WORST[one]}) == said


@pytest.mark.parametrize(("lag", "said"), [(199.0, "True"), (200.0, "False")])
def test_the_margin_of_the_verdict_is_three(cells, capsys, lag, said):
    assert verdict(cells, capsys, **WORST | {"sliced": lag})[1] == said


def test_the_loop_of_fifteen_lines_has_fifteen_and_passes_its_own_exercise(cells):
    source = cell(cells, "class Loop:")
    names = {"deque": deque, "defaultdict": defaultdict}
    exec(source, names)  # noqa: S102 (the chapter's own cell)

    assert len(source.splitlines()) == 15
    assert check_02_1(names["Loop"]).passed


def test_edakits_loop_keeps_the_order_that_the_chapters_loop_keeps(cells):
    names = {"deque": deque, "defaultdict": defaultdict}
    exec(cell(cells, "class Loop:"), names)  # noqa: S102 (the chapter's own cell)
    small, said = names["Loop"](), []
    component = Component("shop")

    @component.on(Asked)
    def ask(event, context):
        said.extend(["edakit begins", context.publish(Answered()) and "edakit ends"])

    component.on(Answered)(lambda event, context: said.append("edakit answered"))
    small.on(Asked, lambda event: said.extend(["begins", small.publish(Answered()) or "ends"]))
    small.on(Answered, lambda event: said.append("answered"))
    app = App(component, broker="memory://")
    for publish, run in ((small.publish, small.run), (app.publish, app.run_until_idle)):
        publish(Asked())
        run()

    assert said == ["begins", "ends", "answered", "edakit begins", "edakit ends", "edakit answered"]


def test_the_cell_that_shows_the_order_can_be_run_again(cells):
    measured = []
    names = {"deque": deque, "defaultdict": defaultdict, "Event": Event, "measured": lambda _name, order: measured.append(order), "__name__": "chapter"}
    [shows] = [source for source in cells if 'measured("order"' in source]
    for source in (*(cell(cells, begin) for begin in ("class ItemAdded", "class Loop:", "class OrderPlaced")), shows, shows):
        exec(source, names)  # noqa: S102 (the chapter's own cell)

    assert measured == ["orders begins, orders ends, mail"] * 2
