"""What is open while an app runs: its bus, and what serves each component, in the caller's thread or in the background."""

from __future__ import annotations

import asyncio
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
        server = Server(component, self.bus, random, virtual_sleep if self.bus.clock.virtual else asyncio.sleep)
        server.paused = component.name in self.paused
        self.servers[component.name] = server
        return server

    def _serve_beside(self, component: Component, *, retrying: bool = True) -> None:
        server = self._server(component)
        server.retrying = retrying
        workers = self.workers[component.name] = workers_for(server)
        workers.start()

    def _needs_thread(self, component: Component) -> bool:
        """Whether it runs beside this thread: `async def` handlers need an asyncio loop, and a notebook's is taken; a network has to be listened to."""
        return not self.bus.clock.virtual and (component.is_async or self.bus.address.broker.processes)

    def bind(self, component: Component) -> None:
        """Hear what *component* has a handler for now, and give it the workers that its handlers need."""
        self.bus.bind(component)
        if component.is_async and not isinstance(self.workers.get(component.name), AsyncWorkers):
            self.drop(component.name)
            self.serve(component)

    def run(self, components: Collection[Component], until_ns: int | None, stop: Callable[[], bool] | None, *, retrying: bool) -> None:
        """Handle events until none is left, until *until_ns* [ns], or until *stop* says so; unless it is to retry, raise what a handler raises.

        Raises:
            VirtualTimeError: the app runs already.
        """
        loop = self.here(components)
        beside = [component for component in components if self._needs_thread(component)]
        if beside and self.workers:
            raise VirtualTimeError("the app runs already, and a handler that ran it would wait for its own end; publish, and let the event be handled")
        servers: dict[str, Server] = {}
        try:
            for component in beside:
                self._serve_beside(component, retrying=retrying)
            servers = dict(self.servers)  # as they are now: a handler may stop the app
            for server in servers.values():
                server.retrying = retrying
                server.raising = not retrying and server.name not in self.workers
            loop.run(until_ns, stop)
            while (working := self._working()) and self.outstanding(working):
                time.sleep(self.bus.link.pause)
                loop.run(until_ns, stop)
        finally:
            errors = [error for component in beside if component.name in servers for error in servers[component.name].errors]
            for component in beside:
                self.drop(component.name)
        if errors and not retrying:
            raise errors[0]

    def _working(self) -> list[str]:
        return [name for name, workers in tuple(self.workers.items()) if not workers.ended]

    def start(self, components: Collection[Component]) -> None:
        """Serve *components* in the background; doing so twice is doing it once."""
        if self.background:
            return
        self.bus.link.threaded = True
        self._drop_all(5.0)
        try:
            for component in components:
                self._serve_beside(component)
        except BaseException:
            self.stop()  # not some of them, of which nobody would know
            raise
        self.background = True

    def stop(self, timeout: float = 5.0) -> list[str]:
        """Serve nobody any longer; return who did not finish within *timeout* [s]."""
        late = self._drop_all(timeout)
        self.background = self.bus.link.threaded = False
        return late

    def drop(self, name: str, timeout: float = 5.0) -> None:
        """Serve component *name* no longer."""
        if (workers := self.workers.pop(name, None)) is not None:
            workers.stop(timeout)
        if (server := self.servers.pop(name, None)) is not None:
            server.close()

    def _drop_all(self, timeout: float) -> list[str]:
        deadline = time.monotonic() + timeout
        # As they are now: another thread, or a handler, may be stopping them too.
        served, workers_of = tuple(self.servers.values()), tuple(self.workers.items())
        for _, workers in workers_of:
            workers.stopping = True
        if self.loop is not None:
            self.loop.ended = True  # it may be what calls this, by way of a handler
            self.loop = None
        late = [name for name, workers in workers_of if not workers.stop(max(0.1, deadline - time.monotonic()))]  # some to wake up in
        # All at once: where a broker has stopped to answer, each waits some seconds for its goodbye.
        for server in served:
            server.subscription.leave()
        for server in served:
            self.drop(server.name, 0.0)
        return late

    def end(self) -> None:
        """Stop the threads and close the bus."""
        self._drop_all(5.0)
        self.bus.close()

    def pause(self, name: str) -> None:
        """Let component *name*, one of the paused, take no more events."""
        if name in self.servers:
            self.servers[name].paused = True

    def resume(self, name: str) -> None:
        """Let component *name*, paused no longer, go on with what has waited first."""
        if (server := self.servers.get(name)) is None:
            return
        server.paused = False
        if name in self.workers:
            self.workers[name].wake_all()
        elif self.loop is not None:
            self.loop.resume(server)

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
        ended = (workers.server for workers in tuple(self.workers.values()) if workers.ended)
        return {server.name: error for server in ended for error in server.errors[-1:]}
