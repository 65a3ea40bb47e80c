"""The event loop of one thread: whichever component has an event gets its turn. Wall clock or virtual time, the same code.

With a virtual clock it is a discrete-event scheduler: when nobody has anything to do, the clock jumps to the next timer.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, cast

from edakit.clock import NS, Clock, VirtualClock, to_ns
from edakit.delivery import FAILURES, Crash, Delivery, refuse_coroutine
from edakit.errors import VirtualTimeError
from edakit.interrupts import Interrupts
from edakit.server import Server

__all__ = ["EventLoop", "virtual_sleep"]


class _Sleep:
    """What a handler awaits in virtual time: it hands its wish to the loop."""

    def __init__(self, seconds: float) -> None:
        self.delay_ns = to_ns(seconds)

    def __await__(self) -> Generator[_Sleep, None, None]:
        yield self


async def virtual_sleep(seconds: float) -> None:
    """Wait *seconds* [s] of virtual time."""
    await _Sleep(seconds)


class EventLoop:
    """One thread that serves several components, event by event, in the order of publication.

    Args:
        clock: What tells the time, and in virtual time is moved by this loop.

    Attributes:
        ended: Set to have it serve nothing more.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ended = False
        self.servers: dict[str, Server] = {}
        # One entry for each event that a component may have to look at: what keeps the order of publication across components.
        self._ready: deque[Server] = deque()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = itertools.count()
        self._interrupts = Interrupts()

    def add(self, server: Server) -> None:
        """Serve one more component."""
        self.servers[server.name] = server
        server.wake_at = lambda due_ns: self._at(due_ns, lambda: self._ready.append(server))
        server.subscription.listen(lambda: self._ready.append(server))

    def resume(self, server: Server) -> None:
        """Let a component that was paused look at all that has come in."""
        self._ready.extend([server] * max(1, len(server.subscription)))

    def call_at(self, time_ns: int, function: Callable[[], None]) -> None:
        """Call *function* when the clock shows *time_ns* [ns]; several of one time are called in the order in which they were asked for.

        Raises:
            VirtualTimeError: that time is over.
        """
        if self.clock.virtual and time_ns < self.clock.now_ns():
            raise VirtualTimeError(f"virtual time is {self.clock.now_ns()} ns already, {time_ns} ns is over; schedule later times only")
        self._at(time_ns, lambda: self._interrupts.interruptible(function))

    def _at(self, time_ns: int, function: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time_ns, next(self._counter), function))

    def run(self, until_ns: int | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Serve until nothing is left to do before *until_ns* [ns], to which a virtual clock is moved, or until *stop* says so.

        After Ctrl-C it goes on where it was when it is called again.
        """
        outer, self._interrupts = self._interrupts, Interrupts()
        try:
            with self._interrupts:
                self._run(until_ns, stop)
        finally:
            self._interrupts = outer

    def _run(self, until_ns: int | None, stop: Callable[[], bool] | None) -> None:
        ready, timers = self._ready, self._timers
        while not (self.ended or (stop and stop())):
            self._interrupts.raise_if_asked()
            if ready:
                self._serve(ready.popleft())
            elif timers and (until_ns is None or timers[0][0] <= until_ns):
                self._wait_until(timers[0][0])
                if not ready:
                    heapq.heappop(timers)[2]()
            elif not (self._serve_each() or self._waits(until_ns)):
                break
        if until_ns is not None and self.clock.virtual and not (stop and stop()):
            self._wait_until(until_ns)

    def _wait_until(self, time_ns: int) -> None:
        if self.clock.virtual:
            cast("VirtualClock", self.clock).advance_to(time_ns)
        else:
            self._interrupts.interruptible(time.sleep, max(0, time_ns - self.clock.now_ns()) / NS)

    def _serve(self, server: Server) -> bool:
        """Have *server* take an event; return whether there was one."""
        if not server.free:
            return False
        try:
            delivery = server.receive()
        except BaseException:
            # Raised to the caller, who may run the loop again: what else waits must not be forgotten.
            self.resume(server)
            raise
        if delivery is not None:
            delivery.worker = heapq.heappop(server.free)
            self._do(self._begin, server, delivery)
        return delivery is not None

    def _serve_each(self) -> bool:
        """Have everybody look, also without an entry in `_ready`: Ctrl-C may have come while somebody published, between the event and its entry."""
        return sum(self._serve(server) for server in self.servers.values()) > 0

    def _waits(self, until_ns: int | None) -> bool:
        """Set a timer for what was given back to its queue before this loop began, and has none here; return whether there is such."""
        dues = [due for server in self.servers.values() if server.name not in server.paused and (due := server.subscription.next_due_ns()) is not None]
        if not dues or not self.clock.now_ns() < min(dues) <= (min(dues) if until_ns is None else until_ns):
            return False
        self._at(min(dues), lambda: None)
        return True

    def _do(self, step: Callable[[Server, Delivery], bool], server: Server, delivery: Delivery) -> None:
        """Do one *step* of a delivery; unless it says that another is to come, the worker is free again."""
        try:
            goes_on = step(server, delivery)
        except Crash as crash:
            server.crashed(delivery, crash)
            self._at(self.clock.now_ns() + crash.restart_ns, lambda: self._release(server, delivery.worker))
        except BaseException:
            # Lose nothing when a person presses Stop, or when a handler's exception is raised to the caller.
            server.crashed(delivery)
            self._release(server, delivery.worker)
            raise
        else:
            if not goes_on:
                self._release(server, delivery.worker)

    def _begin(self, server: Server, delivery: Delivery) -> bool:
        busy_ns = server.begin(delivery, delivery.worker)
        if busy_ns and self.clock.virtual:
            self._at(self.clock.now_ns() + busy_ns, partial(self._do, self._handle, server, delivery))
            return True
        if busy_ns:
            self._interrupts.interruptible(time.sleep, busy_ns / NS)
        return self._handle(server, delivery)

    def _handle(self, server: Server, delivery: Delivery) -> bool:
        handler = delivery.handler
        if handler.is_async:
            return self._await(handler.function(delivery.event, delivery), server, delivery)
        try:
            if (result := self._interrupts.interruptible(handler.function, delivery.event, delivery)) is not None:
                refuse_coroutine(result)
        except FAILURES as error:
            server.failed(delivery, error)
        else:
            server.succeeded(delivery)
        return False

    def _await(self, coroutine: Coroutine[Any, Any, Any], server: Server, delivery: Delivery) -> bool:
        """Run an `async def` handler up to its next await."""
        try:
            wish = self._interrupts.interruptible(coroutine.send, None)
            while not isinstance(wish, _Sleep):  # a handler may catch that, and go on
                wish = coroutine.throw(
                    VirtualTimeError(f"in virtual time a handler can await context.sleep(…) only, not {wish!r}; use clock='wall' for the rest")
                )
        except StopIteration:
            server.succeeded(delivery)
        except FAILURES as error:
            server.failed(delivery, error)
        else:
            self._at(self.clock.now_ns() + wish.delay_ns, partial(self._do, partial(self._await, coroutine), server, delivery))
            return True
        return False

    def _release(self, server: Server, worker: int) -> None:
        heapq.heappush(server.free, worker)
        if server.has_more:
            self._ready.append(server)
