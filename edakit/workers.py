"""Components in the background, in real time: threads for plain handlers, one asyncio loop for `async def` handlers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from edakit.clock import NS
from edakit.delivery import FAILURES, Crash, Delivery, refuse_coroutine
from edakit.server import Server

__all__ = ["AsyncWorkers", "ThreadWorkers", "Workers", "workers_for"]


class Workers:
    """Threads that serve one component until they are stopped."""

    def __init__(self, server: Server, size: int = 1) -> None:
        self.server = server
        self.stopping = False
        self._threads = [threading.Thread(target=self._run, args=(n,), name=f"{server.name}-{n}", daemon=True) for n in range(size)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()
        self.server.subscription.listen(self.wake)

    def stop(self, timeout: float) -> bool:
        """Let the handlers that run finish, within *timeout* [s]; return whether they did, one that calls this aside. What waits stays in the queue."""
        self.stopping = True
        deadline = time.monotonic() + timeout
        others = [thread for thread in self._threads if thread is not threading.current_thread()]
        for thread in others:
            self.wake_all()
            thread.join(max(0.0, deadline - time.monotonic()))
        self.wake_all()
        return not any(thread.is_alive() for thread in others)

    def wake(self) -> None:
        """There may be something to do for one."""

    def wake_all(self) -> None:
        """There may be something to do for each."""
        self.wake()

    def _run(self, worker: int) -> None:
        # A thread prints nothing: what went wrong is told by whoever waits for the app or asks for its report.
        try:
            self._serve(worker)
        except BaseException as error:  # noqa: BLE001 (a thread has no caller to raise to)
            if not self.stopping:
                self.server.note(error)
                # What it had is not acked: with one worker less than was asked for, the rest would go on and nobody would be told.
                self.stopping = True
                self.wake_all()

    @property
    def ended(self) -> bool:
        """Whether no thread serves any more: something passed the handlers, and stands last in the server's errors."""
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self, worker: int) -> None:
        """Serve until `stopping`."""

    def _until_due(self) -> float | None:
        due = self.server.subscription.next_due_ns()
        # Not zero: what is due may have to wait for a worker or for a place, and nobody tells when there is one.
        # An hour at most: no system waits for years.
        return None if due is None else min(max(0.001, (due - self.server.now_ns()) / NS), 3600.0)


class ThreadWorkers(Workers):
    """As many threads as the component's concurrency; a handler runs on the thread that received its event (a hand-off costs 42 µs)."""

    def __init__(self, server: Server) -> None:
        self._idle: deque[threading.Lock] = deque()
        super().__init__(server, server.component.concurrency)

    def wake(self) -> None:
        """Wake one thread that sleeps; the others will look before they sleep."""
        try:
            self._idle.popleft().release()
        except IndexError:
            return

    def wake_all(self) -> None:
        """Wake every thread that sleeps."""
        while self._idle:
            self.wake()

    def _serve(self, worker: int) -> None:
        asleep = threading.Lock()
        asleep.acquire()
        while not self.stopping:
            delivery = self.server.receive() or self._sleep(asleep)
            if delivery is not None:
                self._handle(delivery, worker)

    def _sleep(self, asleep: threading.Lock) -> Delivery | None:
        """Wait until woken, or until something is due; return what has come while this thread went to sleep."""
        # First on the list, then a second look: an event, or the end, that comes between the two finds somebody to wake.
        self._idle.append(asleep)
        delivery = None
        if not self.stopping and (delivery := self.server.receive()) is None:
            seconds = self._until_due()
            if asleep.acquire(timeout=-1 if seconds is None else seconds):
                return None if self.stopping else self.server.receive()
        try:
            self._idle.remove(asleep)
        except ValueError:
            # Somebody took it off to wake this thread, which is awake: the next one is to look in its place.
            asleep.acquire()
            self.wake()
        return delivery

    def _handle(self, delivery: Delivery, worker: int) -> None:
        server = self.server
        try:
            busy_ns = server.begin(delivery, worker, delivery.received_at)
            if busy_ns:
                time.sleep(busy_ns / NS)
            try:
                if (result := delivery.handler.function(delivery.event, delivery)) is not None:
                    refuse_coroutine(result)
            except (*FAILURES, KeyboardInterrupt) as error:  # no person presses Stop in this thread
                server.failed(delivery, error)
            else:
                server.succeeded(delivery)
        except Crash as crash:
            server.crashed(delivery, crash)
            time.sleep(crash.restart_ns / NS)


class AsyncWorkers(Workers):
    """One thread with an asyncio loop; as many handlers may await at a time as the component's concurrency says."""

    def __init__(self, server: Server) -> None:
        self._loop = asyncio.new_event_loop()
        self._something = asyncio.Event()
        self._free = list(range(server.component.concurrency))
        super().__init__(server)

    def wake(self) -> None:
        """Have the loop look, unless it is about to."""
        if not self._something.is_set():
            with suppress(RuntimeError):  # the loop has ended: nobody is there to wake
                self._loop.call_soon_threadsafe(self._something.set)

    def _serve(self, worker: int) -> None:  # noqa: ARG002 (one thread for all)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._receive())

    async def _receive(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        try:
            while not self.stopping:
                self._something.clear()
                while self._free and (delivery := self.server.receive()) is not None:
                    tasks.add(asyncio.create_task(self._handle(delivery, self._free.pop(0))))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._something.wait(), self._until_due())
                for task in [task for task in tasks if task.done()]:
                    tasks.remove(task)
                    task.result()  # raises what has passed the handlers: it ends this thread, as it ends one of plain handlers
        finally:  # those that run may finish: cancelled, they would count as failed
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, delivery: Delivery, worker: int) -> None:
        server = self.server
        try:
            busy_ns = server.begin(delivery, worker)
            if busy_ns:
                await asyncio.sleep(busy_ns / NS)
            try:
                result: Any = delivery.handler.function(delivery.event, delivery)
                if delivery.handler.is_async:
                    await result
                else:
                    refuse_coroutine(result)
            except (*FAILURES, KeyboardInterrupt) as error:  # no person presses Stop in this thread
                server.failed(delivery, error)
            else:
                server.succeeded(delivery)
        except Crash as crash:
            server.crashed(delivery, crash)
            await asyncio.sleep(crash.restart_ns / NS)
        finally:
            self._free.append(worker)
            self._something.set()


def workers_for(server: Server) -> Workers:
    """Make the kind of workers that the component's handlers need."""
    return AsyncWorkers(server) if server.component.is_async else ThreadWorkers(server)
