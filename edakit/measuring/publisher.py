"""Whoever publishes a workload: at the times that were meant, and late only where a full queue makes a publisher wait.

Each message keeps the time at which it was due, so that a publisher that is held up cannot hide latency.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

from edakit.app import App
from edakit.clock import NS, to_ns
from edakit.errors import QueueFullError
from edakit.events import ID, Command, Event, Receipt, type_name
from edakit.measuring.progress import Progress
from edakit.measuring.workload import ClosedLoop, Each, Workload
from edakit.transports.routing import matches

__all__ = ["Publisher", "publisher_for"]

_STEP = 64  # messages between two looks at the progress bar
_LOOK = 0.25  # between two looks whether somebody is left who can answer [s]


class Publisher:
    """What all publishers share.

    Args:
        app: Where the messages go.
        workload: What they are.
        progress: Told how far the workload has come [s].

    Attributes:
        turned_away: Messages that a full queue did not take, its policy being to raise [messages].
        unsent: Messages that were due and never published [messages].
    """

    def __init__(self, app: App, workload: Workload, progress: Progress) -> None:
        self.app, self.workload, self.progress = app, workload, progress
        self.start_ns = app.now_ns
        self.turned_away = self.unsent = 0
        self._forget: list[Callable[[], None]] = []

    def hear(self, point: str, function: Callable[[str, Any], None]) -> None:
        """Have *function* called at *point* of every delivery, until `close`."""
        self._forget.append(self.app.hooks.on(point, function))

    def close(self) -> None:
        """Hear no more: hooks that know the app would keep it, and its connections, after everybody has forgotten it."""
        for forget in self._forget:
            forget()

    def virtual(self) -> None:
        """Put the first messages into the app's timers; the others follow from there."""
        raise NotImplementedError

    def wall(self) -> None:
        """Publish everything, in this thread and in real time."""
        raise NotImplementedError

    def send(self, message: Event | Command, due_at: int) -> Receipt:
        """Publish or send *message*, due at *due_at* [ns]. Raises as `App.publish` and `App.send`."""
        return self.app.send(message, due_at=due_at) if isinstance(message, Command) else self.app.publish(message, due_at=due_at)

    def waits_for_room(self, error: QueueFullError) -> bool:
        """Whether the queue that is full wants its publishers to wait; otherwise the message is turned away, and counted."""
        waits = error.policy == "wait"
        self.turned_away += not waits
        return waits

    def random(self) -> Random:
        """Return the source of randomness of the workload."""
        return Random(f"{self.app.seed}/workload")

    def sleep_until(self, time_ns: int) -> None:
        """Sleep in real time."""
        while (left := time_ns - self.app.now_ns) > 0:
            time.sleep(left / NS)


class OpenPublisher(Publisher):
    """Publishes when it is time, whatever became of the messages before."""

    def __init__(self, app: App, workload: Workload, progress: Progress) -> None:
        super().__init__(app, workload, progress)
        self._messages: Iterator[tuple[int, Event | Command]] = iter(workload.messages(self.random()))
        self._pending: deque[tuple[int, Event | Command]] = deque()
        self._number = 0

    def virtual(self) -> None:
        """Put the first message into the app's timers; each one puts the next."""
        self.hear("started", self._room)
        self.hear("acked", self._room)
        self._schedule_next()

    def _schedule_next(self) -> None:
        found = next(self._messages, None)
        if found is not None:
            self.app.call_at(self.start_ns + found[0], partial(self._arrive, *found))

    def _arrive(self, due: int, message: Event | Command) -> None:
        self._pending.append((self.start_ns + due, message))
        self._tell_progress(due)
        self._flush()
        self._schedule_next()

    def _flush(self) -> None:
        while self._pending:
            due_at, message = self._pending[0]
            try:
                self.send(message, due_at)
            except QueueFullError as error:
                if self.waits_for_room(error):
                    break
            self._pending.popleft()
        self.unsent = len(self._pending)

    def _room(self, _component: str, _delivery: Any) -> None:
        if self._pending:
            self.app.call_at(self.app.now_ns, self._flush)

    def _tell_progress(self, due: int) -> None:
        self._number += 1
        if self._number % _STEP == 0:
            self.progress.to(due / NS)

    def wall(self) -> None:
        """Publish everything, in this thread and in real time."""
        for due, message in self._messages:
            self.sleep_until(self.start_ns + due)
            self._tell_progress(due)
            self.unsent = 1
            while not self._sent(message, self.start_ns + due):
                continue
            self.unsent = 0

    def _sent(self, message: Event | Command, due_at: int) -> bool:
        try:
            self.send(message, due_at)
        except QueueFullError as error:
            return not self.waits_for_room(error)
        return True


class ClosedPublisher(Publisher):
    """Testers, each of whom sends the next message only when every queue that took the last one is done with it."""

    def __init__(self, app: App, workload: Each, loop: ClosedLoop, progress: Progress) -> None:
        super().__init__(app, workload, progress)
        self.make, self.loop = workload.make, loop
        self.every_ns, self.end_ns = to_ns(loop.every), self.start_ns + to_ns(loop.duration)
        self._random = workload.own_random(self.random())
        self._numbers = iter(range(2**62))
        self._answers: Counter[str] = Counter()
        self._answered = threading.Condition()
        self._failed: list[BaseException] = []
        self._waiting: dict[str, tuple[int, Callable[[], None]]] = {}
        self.hear("acked", lambda _, delivery: self._answer(delivery.id))
        self.hear("refused", self._refuse)

    def _first(self, tester: int) -> int:
        """Return when a tester begins [ns]: they are spread over the time between two messages."""
        return self.start_ns + self.every_ns * tester // self.loop.testers

    def _refuse(self, component: str, message: Any) -> None:
        # What is dropped as it comes was taken by no queue, and has no answer to wait for.
        if self.app.components[component].when_full == "drop oldest":
            self._answer(message.headers.get(ID, ""))

    def _answer(self, event_id: str) -> None:
        with self._answered:
            self._answers[event_id] += 1
            self._answered.notify_all()
        queues, go_on = self._waiting.get(event_id, (0, None))
        if go_on is not None and self._answers[event_id] >= queues:
            del self._waiting[event_id]
            go_on()

    def _next(self) -> tuple[str, int]:
        """Send the next message; return its id, and how many answers it will have. One that is turned away has none."""
        now = self.app.now_ns
        self.progress.to((now - self.start_ns) / NS)
        try:
            message = self.make(next(self._numbers), self._random)
            receipt = self.send(message, now)
        except QueueFullError as error:
            self.waits_for_room(error)
            return "", 0
        return receipt.id, self._answers_to(message, receipt.queues)

    def _answers_to(self, message: Event | Command, queues: int | None) -> int:
        """Return how many answers *message* will have: only components of this app are heard, whoever else has a queue."""
        words = type_name(message).split(".")
        takers = [each for each in self.app.components.values() if any(matches(pattern.split("."), words) for pattern in each.patterns)]
        if queues is not None:
            return min(queues, len(takers))
        # The broker cannot tell how many took it, and what a full queue has dropped is never answered.
        return sum(not each.when_full.startswith("drop") for each in takers)

    def virtual(self) -> None:
        """Put each tester's first message into the app's timers."""
        for tester in range(self.loop.testers):
            self.app.call_at(self._first(tester), self._test)

    def _test(self) -> None:
        sent_at = self.app.now_ns
        event_id, queues = self._next()

        def go_on() -> None:
            next_at = max(sent_at + self.every_ns, self.app.now_ns)
            if next_at < self.end_ns:
                self.app.call_at(next_at, self._test)

        if queues:
            self._waiting[event_id] = (queues, go_on)
        else:
            go_on()

    def wall(self) -> None:
        """Let every tester test, each in a thread of its own; return when all have ended, and raise what one of them could not go on for."""
        stopping = threading.Event()
        threads = [threading.Thread(target=self._tester, args=(tester, stopping), name=f"tester-{tester}", daemon=True) for tester in range(self.loop.testers)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            self._stop(stopping)
        if self._failed:
            raise self._failed[0]

    def _stop(self, stopping: threading.Event) -> None:
        stopping.set()
        with self._answered:
            self._answered.notify_all()

    def _tester(self, tester: int, stopping: threading.Event) -> None:
        try:
            self._test_again_and_again(tester, stopping)
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that waits for the testers)
            self._failed.append(error)
            self._stop(stopping)

    def _test_again_and_again(self, tester: int, stopping: threading.Event) -> None:
        next_at = self._first(tester)
        while next_at < self.end_ns and not stopping.is_set():
            self.sleep_until(next_at)
            sent_at = self.app.now_ns
            event_id, queues = self._next()
            self._wait_for_answers(event_id, queues, stopping)
            next_at = max(sent_at + self.every_ns, self.app.now_ns)

    def _wait_for_answers(self, event_id: str, queues: int, stopping: threading.Event) -> None:
        # A component that serves no more answers no more; `measure` raises what has ended it.
        with self._answered:
            while not self._answered.wait_for(lambda: self._answers[event_id] >= queues or stopping.is_set() or bool(self.app.failures), _LOOK):
                continue


def publisher_for(app: App, workload: Workload, progress: Progress) -> Publisher:
    """Return the publisher that *workload* needs."""
    if isinstance(workload, Each) and isinstance(workload.arrivals, ClosedLoop):
        return ClosedPublisher(app, workload, workload.arrivals, progress)
    return OpenPublisher(app, workload, progress)
