"""Who publishes what to whom? Sources on the left, types of events in the middle, components on the right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from edakit.app import App
from edakit.errors import InvalidValueError
from edakit.measuring.run import Run
from edakit.plots.event_graph import EventGraph, graph_of
from edakit.plots.series import counted, listed
from edakit.plots.style import FONT, INK, POINTS, colour, footer, headline, room
from edakit.table import Table
from edakit.trace import Trace

__all__ = ["plot_event_map"]

HIGH: Final = 0.28
"""Height of a box where there is room [inches]."""

LOW: Final = 0.19
"""Least distance between two rows of type [inches]: 11 points and their air."""

APART: Final = 0.6
"""Least distance between two columns: an arrow has to be seen [inches]."""

HEADING: Final = " "
"""Stands for the name of a column's heading; no component or source is called so."""

Arrow = tuple[str, str]


def plot_event_map(ax: Axes, source: App | Run | Trace, *, title: str = "") -> Table:
    """Draw who publishes which types of events, and which components get them; what goes to nobody has a dashed frame and arrow.

    Numbers are events and commands: published by a source, of a type, got by a component. An app tells which types are commands; a run
    or a trace does not. An app that was not used is read from its code: types and the components that handle them. What a handler
    publishes is seen in a run only.

    Args:
        ax: Where it is drawn, best in a figure of its own, 10 by 6 inches for the whole shop.
        source: An app, a run or a trace.
        title: What is seen; computed unless given.

    Returns:
        A line a type: who published it, how many [events], and who got it, with the number where it is another one.

    Raises:
        NothingMeasuredError: it is a run or a trace in which nothing was published.
        InvalidValueError: it is none of these, an app without a handler, or the figure is too small to be read.
    """
    graph = graph_of(source)
    footer(ax)
    width, height = room(ax)
    columns = _columns(graph)
    _check(columns, width, height)
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    _draw(ax, graph, columns, width, height)
    headline(ax, title or _title(graph))
    return _table(graph)


def _label(name: str, count: int | None) -> str:
    return name if count is None else f"{name}  {count:,}"


def _type(graph: EventGraph, name: str) -> str:
    return f"command {name}" if name in graph.commands else name


def _total(graph: EventGraph) -> str:
    commands = graph.counted_commands
    events = counted(graph.published.total() - commands, "event")
    return f"{events} and {counted(commands, 'command')}" if commands else events


def _columns(graph: EventGraph) -> list[dict[str, str]]:
    """Return the columns from left to right, each with its boxes from top to bottom: what is written in each, by its name."""
    types, sinks = _ordered(graph)
    heads = [{HEADING: text} for text in ("Published by", "Event or command" if graph.commands else "Event", "Handled by")][0 if graph.ran else 1 :]
    inside = [{name: _label(_type(graph, name), graph.count(name) if graph.ran else None) for name in types}, {name: _sink(graph, name) for name in sinks}]
    if graph.ran:
        inside.insert(0, {name: _label(name or "elsewhere", graph.sent_by(name)) for name in graph.sources})
    return [{**head, **boxes} for head, boxes in zip(heads, inside, strict=True)]


def _sink(graph: EventGraph, name: str) -> str:
    if name in graph.components:
        got = graph.got_by(name)
        return f"{name}: no event" if graph.ran and not got else _label(name, got if graph.ran else None)
    return _label(name, sum(count for (_, where), count in graph.elsewhere.items() if where == name))


def _ordered(graph: EventGraph) -> tuple[list[str], list[str]]:
    """Return types and sinks in an order in which few arrows cross: each near the middle of what it is joined to (barycentres).

    Source:
        Sugiyama, Tagawa and Toda (1981), "Methods for Visual Understanding of Hierarchical System Structures", IEEE Trans. SMC 11, 109-125.
    """
    arrows = [*graph.delivered, *graph.elsewhere]
    places = list(dict.fromkeys(where for _, where in graph.elsewhere))
    types, sinks = graph.types, list(graph.components)
    rank = {name: _middle([place for place, source in enumerate(graph.sources) if (source, name) in graph.published]) for name in types}
    for _ in range(8):
        sinks.sort(key=lambda sink: _middle([types.index(name) for name, where in arrows if where == sink], len(types)))
        order = [*sinks, *places]
        types.sort(key=lambda name: (rank[name], _middle([order.index(where) for known, where in arrows if known == name])))
    return types, [*sinks, *places]


def _middle(places: Sequence[float], otherwise: float = 0.0) -> float:
    return sum(places) / len(places) if places else otherwise


def _check(columns: list[dict[str, str]], width: float, height: float) -> None:
    needed = sum(map(_wide, columns)) + APART * (len(columns) - 1), LOW * max(map(len, columns))
    if needed[0] > width or needed[1] > height:
        more = tuple(round(max(given, need + 0.05) + 1, 1) for given, need in zip((width, height), needed, strict=True))
        raise InvalidValueError("the room for the event map", f"{width:.1f} by {height:.1f} inches", f"a figure of its own with figsize={more} or more")


def _wide(column: Mapping[str, str]) -> float:
    """Return how wide the boxes of a column have to be, so that the longest text fits [inches]."""
    return max(float(TextPath((0, 0), text, size=FONT).get_extents().width) for text in column.values()) / POINTS + 0.2


def _draw(ax: Axes, graph: EventGraph, columns: list[dict[str, str]], width: float, height: float) -> None:
    pitch = height / max(map(len, columns))
    tall = min(HIGH, pitch * 0.84)
    widths = [_wide(column) for column in columns]
    gap = (width - sum(widths)) / (len(columns) - 1)
    lefts = [sum(widths[:place]) + gap * place for place in range(len(columns))]
    # From right to left: a source stands at the middle of its types.
    heights = [_spread(list(column), pitch, height) for column in columns]
    if graph.ran:
        heights[0] = _beside(graph, columns[0], heights[1], pitch, height)
    for column, left, wide, ys in zip(columns, lefts, widths, heights, strict=True):
        _draw_boxes(ax, graph, column, left, wide, tall, ys)
    if graph.ran:
        _draw_arrows(ax, list(graph.published), (lefts[0] + widths[0], lefts[1]), (heights[0], heights[1]), tall, lambda arrow: _look(graph, arrow[0]))
    _draw_arrows(
        ax, [*graph.delivered, *graph.elsewhere], (lefts[-2] + widths[-2], lefts[-1]), (heights[-2], heights[-1]), tall, lambda arrow: _onward(graph, arrow)
    )


def _spread(names: list[str], pitch: float, height: float) -> dict[str, float]:
    """Return the height of each box's middle, evenly over the column under its heading, which comes first."""
    step = (height - pitch) / max(len(names) - 1, 1)
    return {name: pitch + (place - 0.5) * step if place else pitch / 2 for place, name in enumerate(names)}


def _beside(graph: EventGraph, column: Mapping[str, str], types: Mapping[str, float], pitch: float, height: float) -> dict[str, float]:
    """Return for each source the middle of its types, moved down and then up until nobody stands on another."""
    names = [name for name in column if name != HEADING]
    ys = [pitch / 2, *(_middle([types[name] for source, name in graph.published if source == mine]) for mine in names)]
    for place in range(1, len(ys)):
        ys[place] = max(ys[place], ys[place - 1] + pitch)
    ys[-1] = min(ys[-1], height - pitch / 2)
    for place in range(len(ys) - 2, 0, -1):
        ys[place] = min(ys[place], ys[place + 1] - pitch)
    return dict(zip([HEADING, *names], ys, strict=True))


def _look(graph: EventGraph, name: str) -> dict[str, Any]:
    """Return how the arrows of a source look or, from code, of a component. The colour helps the eye; what is joined says the box at each end."""
    return {"color": colour((graph.sources if graph.ran else graph.components).index(name)), "linestyle": "-"}


def _onward(graph: EventGraph, arrow: Arrow) -> dict[str, Any]:
    """Return how an arrow from a type to a sink looks: as the one from its source, dashed where no component gets it."""
    name, where = arrow
    if where not in graph.components:
        return {"color": INK, "linestyle": (0, (3, 2))}
    if not graph.ran:
        return _look(graph, where)
    mine = [source for source, known in graph.published if known == name]
    return _look(graph, mine[0]) if len(mine) == 1 else {"color": INK, "linestyle": "-"}


def _draw_boxes(ax: Axes, graph: EventGraph, column: Mapping[str, str], left: float, wide: float, tall: float, ys: Mapping[str, float]) -> None:
    lonely = {*graph.to_nobody(), *(where for _, where in graph.elsewhere)}
    for name, text in column.items():
        if name != HEADING:
            dashed = name in lonely or text.endswith(": no event")
            frame: dict[str, Any] = {"linestyle": (0, (2, 2)), "linewidth": 1.6} if dashed else {"linestyle": "-", "linewidth": 1.0}
            shape = f"round,pad=0,rounding_size={tall / 4:.3f}"
            ax.add_patch(
                FancyBboxPatch(
                    (left, ys[name] - tall / 2), wide, tall, boxstyle=shape, facecolor="white" if dashed else "#eef3f7", edgecolor=INK, zorder=3, **frame
                )
            )
        weight = "bold" if name == HEADING else "normal"
        ax.text(left + wide / 2, ys[name], text, fontsize=FONT, color=INK, ha="center", va="center_baseline", weight=weight, zorder=4)


def _draw_arrows(
    ax: Axes,
    arrows: list[Arrow],
    xs: tuple[float, float],
    ys: tuple[Mapping[str, float], Mapping[str, float]],
    tall: float,
    look: Callable[[Arrow], dict[str, Any]],
) -> None:
    """Draw each arrow as an S from the right side of one box to the left side of the other, where several leave or arrive, one below the other."""
    ends = [_ports(arrows, side, ys, tall) for side in (0, 1)]
    middle = (xs[0] + xs[1]) / 2
    for arrow in arrows:
        (begin, end) = (xs[0], ends[0][arrow]), (xs[1], ends[1][arrow])
        path = Path([begin, (middle, begin[1]), (middle, end[1]), end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        head = "-|>,head_width=0.25,head_length=0.5"
        ax.add_patch(
            FancyArrowPatch(path=path, arrowstyle=head, mutation_scale=10, shrinkA=0, shrinkB=0, linewidth=1.2, zorder=2, gid="->".join(arrow), **look(arrow))
        )


def _ports(arrows: list[Arrow], side: int, ys: tuple[Mapping[str, float], Mapping[str, float]], tall: float) -> dict[Arrow, float]:
    """Return at which height each arrow touches the box at its *side* (0 where it leaves): sorted by where they lead to, so that none cross there."""
    ports: dict[Arrow, float] = {}
    for name in {arrow[side] for arrow in arrows}:
        mine = sorted((arrow for arrow in arrows if arrow[side] == name), key=lambda arrow: ys[1 - side][arrow[1 - side]])
        for place, arrow in enumerate(mine, 1):
            ports[arrow] = ys[side][name] + (place / (len(mine) + 1) - 0.5) * tall * 0.8
    return ports


def _title(graph: EventGraph) -> str:
    handlers = counted(len({component for _, component in graph.delivered}), "component")
    types = counted(len(graph.types), "type")
    if not graph.ran:
        return f"From the code: {handlers} will get {types} of events{' and commands' if graph.commands else ''}"
    nobody = f"; {counted(len(graph.to_nobody()), 'type goes', 'types go')} to nobody" if graph.to_nobody() else ""
    return f"{_total(graph)} of {types}, handled by {handlers}{nobody}"


def _table(graph: EventGraph) -> Table:
    types, sinks = _ordered(graph)
    who = {name: [sink for sink in sinks if (name, sink) in graph.delivered or (name, sink) in graph.elsewhere] for name in types}
    what, number = ("event or command", "how many") if graph.commands else ("event", "events")
    if not graph.ran:
        return Table((what, "handled by"), [(_type(graph, name), ", ".join(who[name])) for name in types], says=_sentence(graph))
    rows = [
        (
            _type(graph, name),
            ", ".join(source for source in graph.sources if (source, name) in graph.published),
            graph.count(name),
            _got(graph, name, who[name]),
        )
        for name in types
    ]
    return Table((what, "published by", number, "handled by"), rows, says=_sentence(graph))


def _got(graph: EventGraph, name: str, sinks: list[str]) -> str:
    counts = {sink: graph.delivered[name, sink] or graph.elsewhere[name, sink] for sink in sinks}
    return ", ".join(sink if count == graph.count(name) else f"{sink} {count:,}" for sink, count in counts.items())


def _sentence(graph: EventGraph) -> str:
    reached = {name: [component for known, component in graph.delivered if known == name] for name in graph.types}
    busiest = max(reached, key=lambda name: len(reached[name]))
    most = f"{busiest} goes to {counted(len(reached[busiest]), 'component')}" + (f": {listed(reached[busiest], 5)}" if reached[busiest] else "")
    if not graph.ran:
        return f"{most}; who publishes it is seen in a run only."
    places = {where: [(name, count) for (name, known), count in graph.elsewhere.items() if known == where] for _, where in graph.elsewhere}
    elsewhere = "".join(f"; {where}: {listed((f'{name} ({count:,})' for name, count in there), 5)}" for where, there in places.items())
    return f"{_total(graph)} from {listed(graph.sources, 6)}; {most}{elsewhere}."
