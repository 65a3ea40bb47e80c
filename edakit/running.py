"""What has to be ended when an app is: its bus, its loop, its servers and their workers."""

from __future__ import annotations

import time

from edakit.bus import Bus
from edakit.loop import EventLoop
from edakit.server import Server
from edakit.workers import Workers

__all__ = ["Running"]


class Running:
    """What has to be ended when the app is: kept apart, so that an app that nobody refers to any more can end it."""

    def __init__(self) -> None:
        self.bus: Bus | None = None
        self.loop: EventLoop | None = None
        self.servers: dict[str, Server] = {}
        self.workers: dict[str, Workers] = {}
        self.background = False

    def drop(self, name: str, timeout: float = 5.0) -> bool:
        """Serve component *name* no longer; return whether its handlers finished in time."""
        workers = self.workers.pop(name, None)
        finished = workers is None or workers.stop(timeout)
        if (server := self.servers.pop(name, None)) is not None:
            server.close()
        return finished

    def drop_all(self, timeout: float = 5.0) -> list[str]:
        """Serve nobody any longer; return who did not finish in time."""
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
        self.drop_all()
        if self.bus is not None:
            self.bus.close()
