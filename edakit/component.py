"""A component: a named set of handlers with a queue of its own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple, TypeVar
from weakref import WeakSet

from edakit.checks import choice, expect, whole
from edakit.delivery import Backoff, Inbox
from edakit.distributions import Distribution
from edakit.errors import HandlerConflictError, InvalidValueError
from edakit.events import Message, Schema, schema_of
from edakit.transports.link import POLICIES

__all__ = ["Component", "Handler"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_F = TypeVar("_F", bound=Callable[..., Any])


class Handler(NamedTuple):
    """A function and the events that it gets."""

    function: Callable[..., Any]
    schema: Schema
    is_async: bool

    @property
    def place(self) -> tuple[str, str]:
        """Module and name: what stays the same when a notebook cell is run again."""
        return (self.function.__module__, getattr(self.function, "__qualname__", repr(self.function)))


class Component:
    """A named set of handlers. Each component has its own queue, and every event that it handles lands there once.

    Args:
        name: Name of the component and of its queue: a-z, 0-9, - and _.
        concurrency: How many workers serve the queue; for `async def` handlers, how many may wait at the same time.
        prefetch: Most messages that are taken from the queue and not yet acked [messages].
        max_attempts: How often a failing event is tried before it becomes a dead letter.
        order: "per key" keeps events of one partition key in order also while one of them is retried, by holding the others back.
        bound: Most events that may wait in the queue [events]; None for no bound.
        when_full: What happens to one more: "raise" QueueFullError, "wait" (a publishing thread waits; in one thread it raises),
            "drop newest" or "drop oldest" (counted as refused).
        takes: How long a worker is busy with an event before its handler's code runs: slept in real time, added in virtual time.
        inbox: Which events were handled already; with it a repeated delivery has no second effect. `Inbox()` forgets when its process ends.
            `DatabaseInbox("shop.db")` commits an event's id together with what the handler writes with `context.transaction`:
            effectively once, also under kill -9.
        ack: "after" the work (at least once) or "before" it (at most once).
        backoff: How long to wait between attempts.
        bindings: Further binding patterns such as `cart.#`; types that no handler knows are acked and counted.

    Raises:
        InvalidValueError: an argument is outside of what makes sense.
    """

    def __init__(  # noqa: PLR0913 (each is one property of a queue or its workers)
        self,
        name: str,
        *,
        concurrency: int = 1,
        prefetch: int = 100,
        max_attempts: int = 5,
        order: Literal["per key"] | None = None,
        bound: int | None = None,
        when_full: Literal["raise", "wait", "drop newest", "drop oldest"] = "raise",
        takes: Distribution | None = None,
        inbox: Inbox | None = None,
        ack: Literal["after", "before"] = "after",
        backoff: Backoff | None = None,
        bindings: Collection[str] = (),
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidValueError("name", name, "a name of a-z, 0-9, - and _ that begins with a letter, up to 63 characters")
        for label, number in (("concurrency", concurrency), ("prefetch", prefetch), ("max_attempts", max_attempts), ("bound", 1 if bound is None else bound)):
            whole(label, number)
        choice("when_full", when_full, *POLICIES)
        choice("ack", ack, "after", "before")
        choice("order", "per key" if order is None else order, "per key")
        expect("takes", takes, Distribution | None, "a distribution such as Constant(0.004) or Exponential(0.004)")
        expect("inbox", inbox, Inbox | None, "an Inbox() or a DatabaseInbox('shop.db')")
        expect("backoff", backoff, Backoff | None, "a Backoff(base=0.1, cap=10)")
        if not isinstance(bindings, list | tuple | set | frozenset) or not all(isinstance(each, str) for each in bindings):
            raise InvalidValueError("bindings", bindings, "patterns in a list, such as ['cart.#']")
        self.name = name
        self.concurrency, self.prefetch, self.max_attempts = int(concurrency), int(prefetch), int(max_attempts)
        self.order, self.bound, self.when_full, self.takes = order, bound and int(bound), when_full, takes
        self.inbox, self.ack, self.backoff = inbox, ack, backoff or Backoff()
        self.bindings = tuple(bindings)
        self.handlers: dict[str, Handler] = {}
        self.watchers: WeakSet[Any] = WeakSet()

    def on(self, *event_types: type[Message]) -> Callable[[_F], _F]:
        """Have the decorated function called for each event of these types, with the event and its `Context`.

        Running the cell again replaces the handler. The function comes back unchanged, so that it can be called and tested as it is.

        Raises:
            HandlerConflictError: another function handles one of these types here already.
            InvalidValueError: what is given is no event class, or the function does not take an event and a context,
                or it has a yield, or it is an `async def` and the inbox is on a database.
        """
        schemas = [schema_of(event_type) for event_type in event_types]
        if not schemas:
            raise InvalidValueError("on(…)", event_types, "at least one Event or Command class")

        def register(function: _F) -> _F:
            _check_signature(function)
            called = function if self.inbox is None else self.inbox.wrap(function)
            for schema in schemas:
                self._register(Handler(called, schema, inspect.iscoroutinefunction(function)))
            return function

        return register

    def _register(self, handler: Handler) -> None:
        known = self.handlers.get(handler.schema.type)
        if known is not None and known.place != handler.place:
            raise HandlerConflictError(self.name, handler.schema.type, ".".join(known.place), ".".join(handler.place))
        self.handlers[handler.schema.type] = handler
        for watcher in self.watchers:
            watcher.bind(self)

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the component's queue is bound to: the types of its handlers, and `bindings`."""
        return (*self.handlers, *self.bindings)

    @property
    def is_async(self) -> bool:
        """Whether its handlers run on an asyncio loop; one `async def` is enough."""
        return any(handler.is_async for handler in self.handlers.values())

    def __repr__(self) -> str:
        return f"Component({self.name!r}, handles {', '.join(self.handlers) or 'nothing yet'})"


def _check_signature(function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind("event", "context")
    except TypeError as error:
        raise InvalidValueError("a handler", getattr(function, "__name__", function), f"a function of two arguments, (event, context): {error}") from None
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidValueError("a handler", function.__name__, "a function without yield: with it, a call makes a generator, and nothing in it would run")
