"""What is open while an app runs: its bus, and what serves each component, in the caller's thread or in the background."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterable
from random import Random

from edakit.bus import Bus
from edakit.component import Component
from edakit.errors import VirtualTimeError
from edakit.loop import EventLoop, virtual_sleep
from edakit.server import Server
from edakit.workers import AsyncWorkers, Workers, workers_for

__all__ = ["Running"]


class Running:
    """An app that is open. It knows nothing of the app, so that one that nobody refers to any more can be ended.

    Args:
        bus: What it serves from; closed at the `end`.
        seed: Seed of service times and of the waits between attempts.
        paused: Names of the components that take no events; shared with the app, which may be paused before it is open.

    Attributes:
        background: Whether every component is served by threads of its own.
    """

    def __init__(self, bus: Bus, seed: int, paused: set[str]) -> None:
        self.bus, self.seed, self.paused = bus, seed, paused
        self.loop: EventLoop | None = None
        self.servers: dict[str, Server] = {}
        self.workers: dict[str, Workers] = {}
        self.background = False
        self._randoms: dict[str, Random] = {}
        self._ending: list[Workers] = []
        self._changing = threading.RLock()  # held by who makes or removes workers, so that a stop finds all of a start or none
        self._turn = threading.RLock()  # held by the thread that runs the loop

    def here(self, components: Collection[Component]) -> EventLoop:
        """Return the loop of this thread, with every component on it that can be.

        Raises:
            VirtualTimeError: the app runs in the background.
        """
        if self.background:
            raise VirtualTimeError("the app runs in the background already; use wait_until_idle() or wait_for(…), or stop() it first")
        if self.loop is None:
            self.loop = EventLoop(self.bus.clock)
            for component in components:
                self.serve(component)
        return self.loop

    def serve(self, component: Component) -> None:
        """Serve one more component, wherever the others are."""
        if self.background:
            self._serve_beside(component)
        elif not self._needs_thread(component) and self.loop is not None:
            self.loop.add(self._server(component))

    def _server(self, component: Component) -> Server:
        random = self._randoms.setdefault(component.name, Random(f"{self.seed}/{component.name}"))
        server = Server(component, self.bus, random, virtual_sleep if self.bus.clock.virtual else asyncio.sleep, self.paused)
        self.servers[component.name] = server
        return server

    def _serve_beside(self, component: Component, *, retrying: bool = True) -> Workers:
        with self._changing:
            server = self._server(component)
            server.retrying = retrying
            workers = self.workers[component.name] = workers_for(server)
            workers.start()
            return workers

    def _needs_thread(self, component: Component) -> bool:
        """Whether it runs beside this thread: `async def` handlers need an asyncio loop, and a notebook's is taken; a network has to be listened to."""
        return not self.bus.clock.virtual and (component.is_async or self.bus.address.broker.processes)

    def bind(self, component: Component) -> None:
        """Hear what *component* has a handler for now, and give it the workers that its handlers need."""
        self.bus.bind(component)
        if component.is_async and self._needs_thread(component) and not isinstance(self.workers.get(component.name), AsyncWorkers):
            self.drop(component.name)
            self.serve(component)

    def run(self, components: Collection[Component], until_ns: int | None, stop: Callable[[], bool] | None, *, retrying: bool) -> None:
        """Handle events until none is left, until *until_ns* [ns], or until *stop* says so; unless it is to retry, raise what a handler raises.

        Raises:
            VirtualTimeError: the app runs already.
        """
        self.here(components)
        others = [component for component in components if self._needs_thread(component)]
        if (others and self.workers) or not self._turn.acquire(blocking=False):
            raise VirtualTimeError("the app runs already, and a second run would wait for its end or move its clock; publish, and that run handles the event")
        beside: list[Workers] = []
        try:
            with self._changing:
                loop = self.here(components)
                for component in others:
                    beside.append(self._serve_beside(component, retrying=retrying))  # noqa: PERF401 (these are ended if the next fails)
            for server in tuple(self.servers.values()):
                server.retrying = retrying
                server.raising = not retrying and server.name not in self.workers
            loop.run(until_ns, stop)
            while (working := [workers.server.name for workers in beside if not workers.ended]) and self.outstanding(working):
                time.sleep(self.bus.link.pause)
                loop.run(until_ns, stop)
        finally:
            for workers in beside:
                if self.workers.get(workers.server.name) is workers:  # not those of a thread that has started the app meanwhile
                    self.drop(workers.server.name)
            self._turn.release()
        if not retrying and (errors := [error for workers in beside for error in (*workers.server.unburied, *workers.server.errors)]):
            raise errors[0]

    def start(self, components: Collection[Component]) -> None:
        """Serve *components* in the background; doing so twice is doing it once."""
        if self.background:
            return
        self.stop()
        try:
            with self._changing:
                self.bus.link.threaded = True
                for component in components:
                    self._serve_beside(component)
                self.background = True
        except BaseException:
            self.stop()  # not some of them, of which nobody would know
            raise

    def drop(self, name: str) -> None:
        """Serve component *name* no longer."""
        if (workers := self.workers.pop(name, None)) is not None:
            workers.stop(5.0)
        if (server := self.servers.pop(name, None)) is not None:
            server.close()

    def stop(self, timeout: float = 5.0) -> list[str]:
        """Serve nobody any longer; return who did not finish within *timeout* [s]."""
        deadline = time.monotonic() + timeout
        with self._changing:
            # Those too that another thread, or a handler, is stopping at this moment.
            ending = self._ending = [*self._ending, *self.workers.values()]
            servers, self.servers, self.workers, self.background = self.servers, {}, {}, False
            for workers in ending:
                workers.stopping = True
            if self.loop is not None:
                self.loop.ended = True  # it may be what calls this, by way of a handler
                self.loop = None
        late = [workers.server.name for workers in ending if not workers.stop(max(0.1, deadline - time.monotonic()))]  # some to wake up in
        # All at once: where a broker has stopped to answer, each waits some seconds for its goodbye.
        for server in servers.values():
            server.subscription.leave()
        for server in servers.values():
            server.close()
        with self._changing:
            self._ending = [workers for workers in self._ending if workers not in ending]
            self.bus.link.threaded = self.background
        return late

    def end(self) -> None:
        """Stop the threads and close the bus."""
        self.stop()
        self.bus.close()

    def resume(self, name: str) -> None:
        """Let component *name*, paused no longer, go on with what has waited first."""
        if (workers := self.workers.get(name)) is not None:
            workers.wake_all()
        elif (loop := self.loop) is not None and (server := self.servers.get(name)) is not None:
            loop.resume(server)

    def outstanding(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many events wait or are being handled [events], for each of *names* that has any and is not paused."""
        names = [name for name in names if name not in self.paused]
        ended = [(server, server.ended) for name in names if (server := self.servers.get(name)) is not None]
        counts = self.bus.link.outstanding(names)
        # What was acked before the work is in no queue, and what ended while they were counted may have led to more.
        for server, before in ended:
            counts[server.name] += server.begun - before
        return {name: count for name, count in counts.items() if count}

    @property
    def failures(self) -> dict[str, BaseException]:
        """What ended the background of a component, past its handlers, by the component's name."""
        return {name: error for name, workers in tuple(self.workers.items()) if workers.ended for error in workers.server.errors[-1:]}
