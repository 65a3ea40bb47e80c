"""One attempt to handle one event, and what becomes of it: ack after the work, retry with back-off, dead letter, inbox."""

from __future__ import annotations

import inspect
import traceback
from asyncio import CancelledError
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from edakit.checks import choice, whole
from edakit.clock import NS, real
from edakit.errors import InvalidValueError
from edakit.events import TYPE, Context

__all__ = ["FAILURES", "Backoff", "Crash", "DeadLetter", "Delivery", "Hooks", "Inbox", "Postpone", "Repeated", "dead_queue", "refuse_coroutine"]

_DEATH: Final = "edakit_death_"
Hook = Callable[[str, Any], None]
# An `await` on what somebody else has cancelled raises a CancelledError, which is no Exception, and is this handler's failure all the same.
FAILURES: Final = (Exception, SystemExit, GeneratorExit, CancelledError)
"""What a handler may raise, and it was an attempt that failed: not the KeyboardInterrupt of a person who presses Stop, nor a worker's `Crash`."""


class Crash(BaseException):
    """Raised by a hook: the worker dies here. What it had not acked comes back (no handler can catch it by accident)."""

    def __init__(self, restart_ns: int = 0) -> None:
        self.restart_ns = restart_ns
        super().__init__(restart_ns)


class Postpone(Exception):  # noqa: N818 (a wish, not an error)
    """Raised by a `received` hook: deliver this message later, by *delay_ns* [ns]."""

    def __init__(self, delay_ns: int) -> None:
        self.delay_ns = delay_ns
        super().__init__(delay_ns)


class Repeated(Exception):  # noqa: N818 (nothing went wrong)
    """Raised in place of a handler: another delivery of its event was handled meanwhile."""


class Delivery(Context):
    """One attempt, as the loop and the hooks see it; a handler sees it as its `Context`.

    Attributes:
        message: The kombu message.
        event: What was decoded.
        handler: Who handles it.
        worker: Index of the worker, from 0.
        received_at, started_at: When it was taken from the queue, and when the worker began [ns].
    """

    __slots__ = ("event", "handler", "message", "received_at", "started_at", "worker")

    message: Any
    event: Any
    handler: Any
    worker: int
    received_at: int
    started_at: int


def refuse_coroutine(result: object) -> None:
    """Make sure that a plain handler's *result* is no coroutine: nobody would await it, and its event would count as handled.

    Raises:
        InvalidValueError: it is one.
    """
    if inspect.iscoroutine(result):
        result.close()
        raise InvalidValueError("what a handler returns", f"the coroutine {result.__qualname__}", "an async def itself as the handler, or return nothing")


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next attempt: doubling, capped, and drawn from zero up ("full jitter").

    Args:
        base: Longest wait after the first failure [s].
        cap: Longest wait of all [s].

    Source:
        Brooker (2015), "Exponential Backoff And Jitter", AWS Architecture Blog.
    """

    base: float = 0.1
    cap: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= real(self.base) <= real(self.cap) < float("inf"):
            raise InvalidValueError("Backoff", (self.base, self.cap), "base and cap with 0 <= base <= cap [s]")

    def delay_ns(self, attempt: int, random: Random) -> int:
        """Return the wait [ns] after *attempt* (1 for the first) has failed."""
        return round(random.random() * min(self.cap, self.base * 2.0 ** min(attempt - 1, 60)) * NS)


class Inbox:
    """Ids of events that were handled, the newest *size* of them, in the memory of this process: give each component one of its own.

    Args:
        size: How many ids to remember [events].
    """

    def __init__(self, size: int = 100_000) -> None:
        whole("size", size)
        self.size = int(size)
        self._seen: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._seen

    def add(self, event_id: str) -> None:
        """Remember that the event with this id was handled."""
        self._seen[event_id] = None
        if len(self._seen) > self.size:
            self._seen.popitem(last=False)

    def open(self) -> object:
        """Make ready for deliveries."""

    def knows(self, delivery: Context) -> bool:
        """Whether the event of *delivery* was handled."""
        return delivery.id in self

    def handled(self, delivery: Context) -> None:
        """Take note that the handler of *delivery* has returned."""
        self.add(delivery.id)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is to be called in place of the handler *function*: here, the function itself."""
        return function


class Hooks:
    """Functions called at named points of every delivery, with the component's name and the `Delivery`.

    Points: `received` (taken from the queue; may raise `Postpone`), `started` (a worker begins), `handled` (the work is done, the
    ack is not), `acked` (it is over: handled, ignored, repeated or dead); each may raise `Crash`. `published` is called with the
    source's name and the `Publication`, `refused` with the component's name and the message that its full queue drops.
    """

    POINTS = ("received", "started", "handled", "acked", "published", "refused")

    def __init__(self) -> None:
        self.received: list[Hook] = []
        self.started: list[Hook] = []
        self.handled: list[Hook] = []
        self.acked: list[Hook] = []
        self.published: list[Hook] = []
        self.refused: list[Hook] = []

    def on(self, point: str, function: Callable[[str, Any], None]) -> Callable[[], None]:
        """Have *function* called at *point*; return a function that ends it.

        Raises:
            InvalidValueError: there is no such point.
        """
        choice("point", point, *self.POINTS)
        functions: list[Hook] = getattr(self, point)
        functions.append(function)
        return lambda: functions.remove(function) if function in functions else None


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up, with the reason.

    Attributes:
        component: Who could not handle it.
        event_type: Its type, as far as it can be read.
        body: As it arrived.
        reason: "failed" (the handler did, at each attempt), "malformed" (it is no event of ours).
        error: The last exception, type and text.
        handler: Name of the handler.
        line: Line of the handler's file or cell where it failed; 0 if unknown.
        attempts: How often it was tried.
    """

    component: str
    event_type: str
    body: bytes = field(repr=False)
    reason: str
    error: str
    handler: str
    line: int
    attempts: int

    @classmethod
    def read(cls, component: str, message: Any) -> DeadLetter:
        """Make it from a message of a dead-letter queue."""
        found = {name: message.headers.get(_DEATH + name, "") for name in ("reason", "error", "handler", "line", "attempts")}
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        return cls(component, str(message.headers.get(TYPE, "?")), body, **{**found, "line": int(found["line"] or 0), "attempts": int(found["attempts"] or 0)})


def dead_queue(component: str) -> str:
    """Return the name of the queue that keeps the dead letters of *component*."""
    return f"{component}.dead"


def death_headers(headers: object, reason: str, error: BaseException, handler: Any, attempts: int) -> dict[str, Any]:
    """Return *headers* with what a person needs to know about the end of a message."""
    known = dict(headers) if isinstance(headers, Mapping) else {}
    name, line = "", 0
    if handler is not None:
        name = getattr(handler, "__qualname__", repr(handler))
        code = getattr(inspect.unwrap(handler), "__code__", None)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if code is not None and frame.filename == code.co_filename]
        line = frames[-1].lineno or 0 if frames else 0
    about = {"reason": reason, "error": f"{type(error).__name__}: {error}"[:2000], "handler": name, "line": line, "attempts": attempts}
    return known | {_DEATH + key: value for key, value in about.items()}


def alive_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return *headers* as they were before the death."""
    return {name: value for name, value in headers.items() if not name.startswith(_DEATH)}
