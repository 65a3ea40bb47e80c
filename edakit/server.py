"""What happens to one component's messages, whoever drives it: receive, handle, ack or fail, and a row in the trace."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

from kombu.exceptions import MessageStateError

from edakit.bus import Bus
from edakit.codec import check, decode
from edakit.component import Component
from edakit.delivery import Crash, Delivery, Postpone
from edakit.errors import DecodeError
from edakit.events import ID, KEY, TYPE
from edakit.transports.broker import Message

__all__ = ["Server"]


class Server:
    """One component on its queue.

    Args:
        component: Whose handlers run.
        bus: Where the events come from and where handlers publish.
        random: Draws service times and waits between attempts.
        sleeper: How `await context.sleep(…)` waits.
    """

    def __init__(self, component: Component, bus: Bus, random: Random, sleeper: Callable[[float], Awaitable[None]]) -> None:
        self.component, self.bus, self.random, self.sleeper = component, bus, random, sleeper
        self.name = component.name
        self.hooks, self.trace, self.now_ns = bus.hooks, bus.trace, bus.clock.now_ns
        self.subscription = bus.subscribe(component.name)
        self.free = list(range(component.concurrency))
        self.paused = False
        self.retrying, self.raising = True, False
        self.errors: list[BaseException] = []
        self.wake_at: Callable[[int], None] = _nothing
        self.keys = _Keys() if component.order == "per key" else None

    def receive(self) -> Delivery | None:
        """Take the next event that a handler is waiting for; settle on the way what none is. None: nothing is there, or prefetch is used up."""
        while not self.paused:
            message = self.keys.next() if self.keys is not None else None
            if message is None:
                if self.subscription.in_flight >= self.component.prefetch:
                    return None
                message = self.subscription.get()
                if message is None:
                    return None
                if self.keys is not None and not self.keys.admit(message):
                    continue
            delivery = self._open(message)
            if delivery is not None:
                return delivery
        return None

    @property
    def has_more(self) -> bool:
        """Whether `receive` may find something."""
        return len(self.subscription) > 0 or (self.keys is not None and self.keys.has_next)

    def _open(self, message: Message) -> Delivery | None:
        delivery = Delivery()
        delivery.message, delivery.component, delivery.attempt = message, self.name, message.attempt
        delivery.headers, delivery.publisher, delivery.sleeper = message.headers, self.bus, self.sleeper
        delivery.worker, delivery.handler, delivery.event = 0, None, None
        delivery.received_at = delivery.started_at = self.now_ns()
        try:
            check(message.body, message.headers, message.content_type, message.content_encoding, self.bus.max_body)
            handler = self.component.handlers.get(message.headers[TYPE])
            if handler is None:
                self._settle(delivery, "ignored")
                return None
            inbox = self.component.inbox
            if inbox is not None and message.headers[ID] in inbox:
                self._settle(delivery, "duplicate")
                return None
            delivery.event, delivery.handler = decode(message.body, handler.schema.decode), handler
            if self.hooks.received:
                self._call(self.hooks.received, delivery)
        except DecodeError as error:
            self._bury(delivery, "malformed", error)
            return None
        except Postpone as wish:
            self._give_back(delivery, wish.delay_ns, "postponed")
            return None
        except Crash as crash:
            self.crashed(delivery, crash)
            return None
        return delivery

    def begin(self, delivery: Delivery, worker: int) -> int:
        """Let *worker* begin; return how long it will be busy before the handler's code runs [ns]."""
        delivery.worker, delivery.started_at = worker, self.now_ns()
        if self.component.ack == "before":
            delivery.message.ack()
        if self.hooks.started:
            self._call(self.hooks.started, delivery)
        takes = self.component.takes
        return takes.draw(self.random) if takes is not None else 0

    def succeeded(self, delivery: Delivery) -> None:
        """The handler has returned: remember the id, ack, write the row."""
        if self.component.inbox is not None:
            self.component.inbox.add(delivery.id)
        if self.hooks.handled:
            self._call(self.hooks.handled, delivery)
        self._settle(delivery, "handled")

    def failed(self, delivery: Delivery, error: BaseException) -> None:
        """The handler has raised: try again later, or give up.

        Raises:
            Exception: *error* itself, when a person is waiting for it; the event is among the dead letters then.
        """
        component = self.component
        if component.ack == "after" and delivery.attempt < component.max_attempts and self.retrying:
            self._give_back(delivery, component.backoff.delay_ns(delivery.attempt, self.random), "retried")
        else:
            self._bury(delivery, "failed", error)

    def crashed(self, delivery: Delivery, crash: Crash) -> None:
        """The worker died: what it had not acked comes back to this queue, and this was no attempt that failed."""
        if delivery.message.acknowledged:
            self._row(delivery, "crashed")
        else:
            self._give_back(delivery, crash.restart_ns, "crashed")

    def _settle(self, delivery: Delivery, outcome: str) -> None:
        # The row comes first: whoever waits for the queue to be empty then finds it.
        self._row(delivery, outcome)
        if self.component.ack == "after" or delivery.handler is None:
            # Where the subscription was closed under the handler, the event went back to its queue and is delivered again.
            with suppress(MessageStateError):
                delivery.message.ack()
        if self.keys is not None:
            self.keys.release(delivery.message)
        if self.hooks.acked:
            self._call(self.hooks.acked, delivery)

    def _bury(self, delivery: Delivery, reason: str, error: BaseException) -> None:
        handler = delivery.handler and delivery.handler.function
        self.bus.bury(self.name, delivery.message, reason, error, handler, delivery.attempt)
        self._settle(delivery, "dead")
        self.errors.append(error)
        if self.raising:
            error.add_note(f"The event is kept: app.dead_letters({self.name!r}) shows it, app.redrive({self.name!r}) tries it again.")
            raise error

    def _give_back(self, delivery: Delivery, delay_ns: int, outcome: str) -> None:
        due_ns = self.now_ns() + delay_ns
        if outcome != "postponed":
            self._row(delivery, outcome)
        if self.keys is not None:
            self.keys.hold(delivery.message)
        delivery.message.retry(due_ns, attempt=outcome == "retried")
        self.wake_at(due_ns)

    def _row(self, delivery: Delivery, outcome: str) -> None:
        event_id = delivery.headers.get(ID, "") if isinstance(delivery.headers, dict) else ""
        self.trace.delivered((event_id, self.name, delivery.worker, delivery.attempt, outcome, delivery.received_at, delivery.started_at, self.now_ns()))

    def _call(self, functions: list[Callable[[str, Any], None]], delivery: Delivery) -> None:
        for function in tuple(functions):
            function(self.name, delivery)

    def close(self) -> None:
        """Give back what was not acked, and stop listening."""
        self.subscription.close()


def _nothing(due_ns: int) -> None:
    """Do nothing."""


class _Keys:
    """Which partition keys are being handled; what else of such a key has arrived waits for its turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[str, str | None] = {}
        self._held: dict[str, deque[Message]] = {}
        self._ready: deque[Message] = deque()

    def admit(self, message: Message) -> bool:
        key = message.headers.get(KEY)
        if key is None:
            return True
        with self._lock:
            if key not in self._busy or self._busy[key] == message.headers[ID]:
                self._busy[key] = None
                return True
            self._held.setdefault(key, deque()).append(message)
            return False

    def hold(self, message: Message) -> None:
        if (key := message.headers.get(KEY)) is not None:
            self._busy[key] = message.headers[ID]

    def next(self) -> Message | None:
        with self._lock:
            return self._ready.popleft() if self._ready else None

    @property
    def has_next(self) -> bool:
        return bool(self._ready)

    def release(self, message: Message) -> None:
        key = message.headers.get(KEY)
        with self._lock:
            if key is None or key not in self._busy:
                return
            if self._held.get(key):
                self._ready.append(self._held[key].popleft())
            else:
                del self._busy[key]
                self._held.pop(key, None)
