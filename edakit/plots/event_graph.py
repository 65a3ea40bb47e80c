"""Who publishes what to whom, as counts: read from what happened, or from the handlers alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from edakit.app import App
from edakit.errors import InvalidValueError
from edakit.events import Command
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.run import Run
from edakit.trace import Trace

__all__ = ["FULL", "NOBODY", "WAITING", "EventGraph", "graph_of"]

NOBODY = "nobody"
WAITING = "still in a queue"
FULL = "refused: queue full"


@dataclass
class EventGraph:
    """Counts of events on their way.

    Attributes:
        components: All that are known, in their order, also those that got nothing.
        published: How many events of a type came from a source, by (source, type) [events]; empty where only the code was read.
        delivered: How many events of a type a component got, by (type, component) [events]; 0 where only the code was read.
        elsewhere: How many copies of a type reached no component, by (type, where they are: `NOBODY`, `WAITING` or `FULL`) [events].
        commands: Which types are commands, as far as the handlers of an app tell; a run or a trace does not.
        ran: Whether something was published: only then is it known who publishes what.
    """

    components: list[str] = field(default_factory=list)
    published: Counter[tuple[str, str]] = field(default_factory=Counter)
    delivered: Counter[tuple[str, str]] = field(default_factory=Counter)
    elsewhere: Counter[tuple[str, str]] = field(default_factory=Counter)
    commands: frozenset[str] = frozenset()
    ran: bool = False

    @property
    def sources(self) -> list[str]:
        """Who published, in the order of the first publication."""
        return list(dict.fromkeys(source for source, _ in self.published))

    @property
    def types(self) -> list[str]:
        """The types of events, in the order of their first publication or, from code, of the handlers."""
        return list(dict.fromkeys([*(name for _, name in self.published), *(name for name, _ in (*self.delivered, *self.elsewhere))]))

    def count(self, name: str) -> int:
        """Return how many events of type *name* were published [events]."""
        return sum(count for (_, known), count in self.published.items() if known == name)

    @property
    def counted_commands(self) -> int:
        """How many commands were sent [commands]."""
        return sum(map(self.count, self.commands))

    def sent_by(self, source: str) -> int:
        """Return how many events *source* published [events]."""
        return sum(count for (known, _), count in self.published.items() if known == source)

    def got_by(self, component: str) -> int:
        """Return how many events *component* got [events]."""
        return sum(count for (_, known), count in self.delivered.items() if known == component)

    def to_nobody(self) -> dict[str, int]:
        """Return the types of which events were published to nobody, with how many [events]."""
        return {name: count for (name, where), count in self.elsewhere.items() if where == NOBODY}


def graph_of(source: App | Run | Trace) -> EventGraph:
    """Return who publishes what to whom.

    Of an app that was not used the handlers are read: who gets which type. What a handler publishes shows itself only when it runs.

    Raises:
        NothingMeasuredError: it is a run or a trace in which nothing was published.
        InvalidValueError: it is none of these, or an app without a handler.
    """
    if isinstance(source, App):
        used = bool(source.trace.publications or source.trace.deliveries)
        graph = _from_trace(source.trace, list(source.components)) if used else _from_code(source)
        handlers = (handler for component in source.components.values() for handler in component.handlers.values())
        graph.commands = frozenset(handler.schema.type for handler in handlers if issubclass(handler.schema.cls, Command))
        return graph
    if not isinstance(source, Run | Trace):
        raise InvalidValueError("source", source, "an App, a Run or a Trace")
    return _from_trace(source if isinstance(source, Trace) else source.trace, [])


def _from_code(app: App) -> EventGraph:
    graph = EventGraph(list(app.components))
    for name, component in app.components.items():
        for pattern in component.patterns:
            graph.delivered[pattern, name] = 0
    if not graph.delivered:
        raise InvalidValueError("the app", app, "one with a component that handles something, or one that was used")
    return graph


def _from_trace(trace: Trace, components: list[str]) -> EventGraph:
    publications, deliveries = trace.publications, trace.deliveries
    if not publications and not deliveries:
        raise NothingMeasuredError("an event map")
    names = {row.event: row.name for row in publications}
    graph = EventGraph(ran=True)
    graph.published.update((row.source, row.name) for row in publications)
    # A set: an event that was tried three times came once.
    got = dict.fromkeys((row.event, row.component) for row in deliveries if row.outcome != "refused")
    graph.delivered.update((names.get(event, "from elsewhere"), component) for event, component in got)
    refused = Counter(row.event for row in deliveries if row.outcome == "refused")
    graph.elsewhere.update((names.get(event, "from elsewhere"), FULL) for event in refused.elements())
    reached = Counter(event for event, _ in got)
    for row in publications:
        if row.queues == 0 and not refused[row.event]:
            graph.elsewhere[row.name, NOBODY] += 1
        elif row.queues > reached[row.event] + refused[row.event]:
            graph.elsewhere[row.name, WAITING] += row.queues - reached[row.event] - refused[row.event]
    graph.components = list(dict.fromkeys([*components, *(component for _, component in graph.delivered)]))
    return graph
