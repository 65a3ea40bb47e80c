"""Who had the thread when: each handling with its wait, its computing and its pauses, read from an app's trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edakit.app import App
from edakit.checks import expect
from edakit.measuring.onethread import OneThread
from edakit.table import Table

__all__ = ["AtOnce", "Handling", "at_once", "compare_at_once", "handlings"]

MS = 1_000_000  # [ns]
Span = tuple[int, int]


class Handling(NamedTuple):
    """One event was handled by one component.

    Attributes:
        name: Type of the event; with a number behind it where several came.
        component: Who handled it.
        due_at: When the event came, from the start: of virtual time, in real time of the first event [ns].
        began_at, ended_at: When its handler began and ended [ns].
        busy: From when to when its handler computed [ns]; without `compute` the whole of it.
    """

    name: str
    component: str
    due_at: int
    began_at: int
    ended_at: int
    busy: tuple[Span, ...]

    @property
    def waited(self) -> float:
        """From its coming to its begin [ms]."""
        return (self.began_at - self.due_at) / MS

    @property
    def computed(self) -> float:
        """How long it computed, all in all [ms]."""
        return sum(end - begin for begin, end in self.busy) / MS


class AtOnce(NamedTuple):
    """How much happened at the same time.

    Attributes:
        under_way: Most handlers that had begun and not ended [handlers]. More than one is concurrent.
        computing: Most handlers that computed at the same instant [handlers]. More than one is parallel.
        over_at: When the last one ended, from the start [ms].
    """

    under_way: int
    computing: int
    over_at: float


def handlings(app: App) -> list[Handling]:
    """Return every handling that came to a good end in *app*, in the order in which the events came.

    Raises:
        InvalidValueError: *app* is no app; of a `Run` see `plot_timeline`.
    """
    expect("app", app, App, "an App; a Run is drawn by plot_timeline")
    publications = {row.event: row for row in app.trace.publications}
    # The time of day would be no place on an axis.
    zero = 0 if app.clock.virtual else min((row.due_at for row in publications.values()), default=0)
    slices: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for part in app.slices if isinstance(app, OneThread) else ():
        slices[part.event, part.component].append((part.began_at, part.ended_at))
    found = [
        Handling(
            publications[row.event].name,
            row.component,
            publications[row.event].due_at - zero,
            row.started_at - zero,
            row.done_at - zero,
            tuple(slices[row.event, row.component]),
        )
        for row in app.trace.deliveries
        if row.outcome == "handled"
    ]
    if not isinstance(app, OneThread):
        found = [each._replace(busy=((each.began_at, each.ended_at),)) for each in found]
    return _numbered(sorted(found, key=lambda each: (each.due_at, each.began_at, each.name)))


def _numbered(found: Sequence[Handling]) -> list[Handling]:
    names = [each.name for each in found]
    return [each._replace(name=f"{each.name} {names[:index].count(each.name) + 1}") if names.count(each.name) > 1 else each for index, each in enumerate(found)]


def at_once(app: App) -> AtOnce:
    """Tell how many handlers of *app* were under way, and how many computed, at the same time."""
    found = handlings(app)
    under_way = _most((each.began_at, each.ended_at) for each in found)
    computing = _most(span for each in found for span in each.busy)
    return AtOnce(under_way, computing, max((each.ended_at for each in found), default=0) / MS)


def compare_at_once(apps: Mapping[str, App]) -> Table:
    """Return one line for each of *apps*, by name: what was under way, and what computed, at the same time. Raises as `handlings`."""
    expect("apps", apps, Mapping, "apps by name: {'one after the other': app}")
    seen = {name: at_once(app) for name, app in apps.items()}
    rows = [(name, each.under_way, each.computing, round(each.over_at, 3)) for name, each in seen.items()]
    says = "; ".join(f"{name}: {each.under_way} under way at once, {each.computing} computing" for name, each in seen.items())
    return Table(("run", "under way at once", "computing at once", "all done [ms]"), rows, says=f"{says}.")


def _most(spans: Iterable[Span]) -> int:
    """Return the largest number of *spans* that overlap; one that begins where another ends does not."""
    # False sorts before True: at one instant, ends come first.
    steps = sorted((time, begins) for begin, end in spans for time, begins in ((begin, True), (end, False)))
    now = most = 0
    for _, begins in steps:
        now += 1 if begins else -1
        most = max(most, now)
    return most
