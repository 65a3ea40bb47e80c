"""What happens to one component's messages, whoever drives it: receive, handle, ack or fail, and a row in the trace."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Container
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from kombu.exceptions import MessageStateError

from edakit.bus import Bus
from edakit.clock import NS
from edakit.codec import check, decode
from edakit.component import Component
from edakit.delivery import Crash, Delivery, Postpone, Repeated
from edakit.errors import BrokerError, DecodeError, InboxError
from edakit.events import ID, KEY, TYPE
from edakit.transports.link import Message

__all__ = ["Server"]


class Server:
    """One component on its queue.

    Args:
        component: Whose handlers run.
        bus: Where the events come from and where handlers publish.
        random: Draws service times and waits between attempts.
        sleeper: How `await context.sleep(…)` waits.
        paused: Names of the components that take no events for now; others change it.

    Attributes:
        take: Takes the next message whose turn it is; None if there is none, or prefetch is used up.
        unburied: Why the last dead letter could not be written; its event came back.
        begun, ended: How many deliveries that were acked before the work were begun, and how many of them are over [deliveries].
    """

    def __init__(self, component: Component, bus: Bus, random: Random, sleeper: Callable[[float], Awaitable[None]], paused: Container[str] = ()) -> None:
        self.component, self.bus, self.random, self.sleeper, self.paused = component, bus, random, sleeper, paused
        self.name = component.name
        self.hooks, self.trace, self.now_ns = bus.hooks, bus.trace, bus.clock.now_ns
        if component.inbox is not None:
            component.inbox.open()
        self.subscription = bus.subscribe(component.name, component.prefetch)
        self.free = list(range(component.concurrency))
        self.retrying, self.raising = True, False
        self.errors: list[BaseException] = []
        self.unburied: list[BrokerError] = []
        self.wake_at: Callable[[int], None] = lambda due_ns: None  # noqa: ARG005 (nobody waits)
        self.keys = _Keys() if component.order == "per key" else None
        self.take: Callable[[], Message | None] = self.subscription.get if self.keys is None else partial(self._take_in_turn, self.keys)
        self._under_way: dict[tuple[str, str], Delivery] = {}
        self.begun = self.ended = 0
        self._early: set[Delivery] = set()
        self._lock = threading.Lock()

    def receive(self) -> Delivery | None:
        """Take the next event that a handler is waiting for; settle on the way what none is. None: nothing is there, or prefetch is used up."""
        while self.name not in self.paused and (message := self.take()) is not None:
            if (delivery := self._open(message)) is not None:
                return delivery
        return None

    def _take_in_turn(self, keys: _Keys) -> Message | None:
        """Take the next message whose key is not being handled, if prefetch allows."""
        # In one piece: of two threads, the one that took the later event of a key might claim the key first.
        with self._lock:
            if keys.ready:
                return keys.ready.popleft()
            while not self._full(keys):
                message = self.subscription.get()
                if message is None or keys.admit(message):
                    return message
        return None

    def _full(self, keys: _Keys) -> bool:
        """Whether prefetch is used up.

        While a key waits for an event that was given back, the last place is for what is due: were it taken by one more event of that key,
        all places would be held behind an event that finds none.
        """
        places = self.component.prefetch
        if keys.waiting:
            due_ns = self.subscription.next_due_ns()
            places -= due_ns is None or due_ns > self.now_ns()
        return self.subscription.in_flight >= places

    @property
    def has_more(self) -> bool:
        """Whether `receive` may find something."""
        return len(self.subscription) > 0 or (self.keys is not None and bool(self.keys.ready))

    def _open(self, message: Message) -> Delivery | None:
        delivery = Delivery()
        delivery.message, delivery.component, delivery.attempt = message, self.name, message.attempt
        delivery.headers, delivery.publisher, delivery.sleeper = message.headers, self.bus, self.sleeper
        delivery.worker, delivery.handler, delivery.event = 0, None, None
        delivery.received_at = delivery.started_at = self.now_ns()
        try:
            try:
                if not message.checked or len(message.body) > self.bus.max_body:
                    check(message.body, message.headers, message.content_type, message.content_encoding, self.bus.max_body)
                handler = self.component.handlers.get(message.headers[TYPE])
                if handler is None:
                    self._settle(delivery, "ignored")
                    return None
                inbox = self.component.inbox
                if inbox is not None and (self._is_under_way(delivery) or inbox.knows(delivery)):
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
        except BaseException:
            self.crashed(delivery)
            raise
        return delivery

    def _is_under_way(self, delivery: Delivery) -> bool:
        """Whether another worker has the same event: the inbox knows it only when that one is done. If that one fails, its own message comes back.

        Raises:
            Postpone: that message is back already, with a connection or a lease that was lost, and may be this one: acked now, none would be left.
        """
        other = self._under_way.setdefault((delivery.source, delivery.id), delivery)
        if other is not delivery and other.message.acknowledged and self.component.ack == "after":
            raise Postpone(NS // 10)
        return other is not delivery

    def begin(self, delivery: Delivery, worker: int, started_at: int | None = None) -> int:
        """Let *worker* begin, at *started_at* [ns] or now; return how long it will be busy before the handler's code runs [ns]."""
        delivery.worker, delivery.started_at = worker, self.now_ns() if started_at is None else started_at
        if self.component.ack == "before":
            with self._lock:
                self._early.add(delivery)
                self.begun += 1
            try:
                delivery.message.ack()
            except MessageStateError:
                self._forget(delivery)  # not ours to handle any more: it went back to its queue, and comes again
                raise Crash from None
        if self.hooks.started:
            self._call(self.hooks.started, delivery)
        return self.component.takes.draw(self.random) if self.component.takes is not None else 0

    def succeeded(self, delivery: Delivery) -> None:
        """The handler has returned: remember the id, ack, write the row."""
        if self.component.inbox is not None:
            self.component.inbox.handled(delivery)
        if self.hooks.handled:
            self._call(self.hooks.handled, delivery)
        self._settle(delivery, "handled")

    def failed(self, delivery: Delivery, error: BaseException) -> None:
        """The handler has raised: try again later, or give up.

        Raises:
            Exception: *error* itself, when a person is waiting for it; the event is among the dead letters then.
        """
        component = self.component
        if isinstance(error, Repeated):
            self._settle(delivery, "duplicate")
        elif isinstance(error, InboxError) and component.ack == "after" and self.retrying:
            # No attempt of the handler: however long the database stays away, its events do not become dead letters.
            self._give_back(delivery, NS, "retried", counts=False)
            self.note(error)
        elif component.ack == "after" and delivery.attempt < component.max_attempts and self.retrying:
            self._give_back(delivery, component.backoff.delay_ns(delivery.attempt, self.random), "retried")
        else:
            self._bury(delivery, "failed", error)

    def crashed(self, delivery: Delivery, crash: Crash | None = None) -> None:
        """The worker died, or was stopped: what it had not acked comes back to this queue, and this was no attempt that failed."""
        if not delivery.message.acknowledged:
            self._give_back(delivery, 0 if crash is None else crash.restart_ns, "crashed")
            return
        if delivery in self._early or (crash is not None and self.component.ack == "after"):
            self._row(delivery, "crashed")
        self._release(delivery)

    def _settle(self, delivery: Delivery, outcome: str) -> None:
        # The row comes first: whoever waits for the queue to be empty then finds it.
        self._row(delivery, outcome)
        if self.component.ack == "after" or delivery.handler is None:
            # Where the subscription was closed under the handler, the event went back to its queue and is delivered again.
            with suppress(MessageStateError):
                delivery.message.ack()
        self._release(delivery)
        if self.hooks.acked:
            self._call(self.hooks.acked, delivery)

    def _release(self, delivery: Delivery) -> None:
        self._forget(delivery)
        if self.keys is not None:
            with self._lock:
                self.keys.release(delivery.message)

    def _forget(self, delivery: Delivery) -> None:
        """It is under way no longer."""
        if self._early:
            with self._lock:
                self.ended += delivery in self._early
                self._early.discard(delivery)
        if self._under_way:
            # Not by its id: a malformed message has none.
            for key in [key for key, each in tuple(self._under_way.items()) if each is delivery]:
                del self._under_way[key]

    def _bury(self, delivery: Delivery, reason: str, error: BaseException) -> None:
        handler = delivery.handler and delivery.handler.function
        try:
            self.bus.bury(self.name, delivery.message, reason, error, handler, delivery.attempt)
        except BrokerError as refused:
            # Not lost, and not the end of this worker: it comes back, and is buried when the broker can. In a second: its handler runs again.
            self.unburied[:] = [refused]
            self._give_back(delivery, NS, "retried", counts=False)
            if not self.retrying:
                raise  # to the person who waits, perhaps for ever
            return
        self.unburied.clear()
        self._settle(delivery, "dead")
        error.add_note(f"The event is kept: app.dead_letters({self.name!r}) shows it, app.redrive({self.name!r}) tries it again.")
        self.note(error)
        if self.raising:
            raise error

    def note(self, error: BaseException) -> None:
        """Remember that something failed: the first and the last such, since each holds its frames, and what they had in hand."""
        self.errors[1:] = [error]

    def _give_back(self, delivery: Delivery, delay_ns: int, outcome: str, *, counts: bool = True) -> None:
        due_ns = self.now_ns() + delay_ns
        if outcome != "postponed":
            self._row(delivery, outcome)
        if self.keys is not None:
            with self._lock:
                self.keys.wait_for(delivery.message)
        self._forget(delivery)
        try:
            delivery.message.retry(due_ns, attempt=counts and outcome == "retried")
        except MessageStateError:  # it is back in its queue already, and may have come again and be held behind this one
            self._release(delivery)
        self.wake_at(due_ns)

    def _row(self, delivery: Delivery, outcome: str) -> None:
        event_id = _text(delivery.headers, ID) or ""  # none of a stranger's; whoever reads the trace counts by it
        self.trace.delivered((event_id, self.name, delivery.worker, delivery.attempt, outcome, delivery.received_at, delivery.started_at, self.now_ns()))

    def _call(self, functions: list[Callable[[str, Any], None]], delivery: Delivery) -> None:
        for function in tuple(functions):
            function(self.name, delivery)

    def close(self) -> None:
        """Give back what was not acked, and stop listening."""
        for delivery in tuple(self._early):
            self.crashed(delivery)
        self.subscription.close()


class _Keys:
    """Which partition keys are being handled; what else of such a key has arrived waits for its turn. Its methods are called with a lock held.

    Attributes:
        ready: Events whose turn has come.
        waiting: Keys that wait for an event that was given back.
    """

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.waiting: set[str] = set()
        self._busy: dict[str, Message] = {}
        self._held: dict[str, deque[Message]] = {}

    def admit(self, message: Message) -> bool:
        """Return whether it is this message's turn; otherwise hold it."""
        key = _text(message.headers, KEY)
        if key is None:
            return True
        # Not by its id: a duplicate that comes first would take the turn, and what was given back would come after later events of its key.
        if key in self._busy and not (key in self.waiting and message.redelivered):
            self._held.setdefault(key, deque()).append(message)
            return False
        self._busy[key] = message
        self.waiting.discard(key)
        return True

    def wait_for(self, message: Message) -> None:
        """Hold the key of a message that is given back until it returns."""
        if (key := _text(message.headers, KEY)) is not None:
            self.waiting.add(key)

    def release(self, message: Message) -> None:
        """Give the turn to the next message of this one's key; doing so twice is doing it once."""
        key = _text(message.headers, KEY)
        if key is None or self._busy.get(key) is not message:
            return
        self.waiting.discard(key)
        while held := self._held.get(key):
            self._busy[key] = held.popleft()
            if not self._busy[key].acknowledged:  # otherwise it went back to its queue while it was held: it comes again, behind what went back before it
                self.ready.append(self._busy[key])
                return
        del self._busy[key]
        self._held.pop(key, None)


def _text(headers: Any, name: str) -> str | None:
    # Looked at before the message is checked: a malformed one has none, and is buried when its turn comes.
    value = headers.get(name) if isinstance(headers, dict) else None
    return value if isinstance(value, str) else None
