"""A TCP proxy between a program and its broker that cuts, delays, falls silent, and slices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

__all__ = ["Proxy"]

_BLOCK = 65_536


class Proxy:
    """Passes connections on to *host*:*port*, from a port of its own at 127.0.0.1, and does harm to them when told. `with proxy:` ends it.

    Args:
        host: Where the broker is.
        port: Its port.

    Attributes:
        port: Where to connect instead.
        delay: How long each piece is kept before it goes on [s].
        slice: Largest piece that goes on at once [bytes]; 0 for no limit.
        accepted: How many connections there have been.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port, self.accepted = 0, 0
        self.delay, self.slice = 0.0, 0
        self._silent = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def cut(self) -> None:
        """End every connection at once, as a pulled cable does that is noticed on both sides."""
        self._do(self._cut())

    def fall_silent(self) -> None:
        """Pass nothing on, for the connections of now and for new ones: both sides believe that the other is there (half-open)."""
        self._silent = True

    def heal(self) -> None:
        """Behave again; connections that were silent are cut, since a piece of their streams is missing."""
        silent, self._silent, self.delay, self.slice = self._silent, False, 0.0, 0
        if silent:
            self.cut()

    async def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(_BLOCK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self._silent:
                    continue
                await self._write(sink, piece)
        if not self._silent:
            self._writers.discard(sink)
            sink.close()

    async def _write(self, sink: asyncio.StreamWriter, piece: bytes) -> None:
        step = self.slice or len(piece)
        for begin in range(0, len(piece), step):
            sink.write(piece[begin : begin + step])
            await sink.drain()
            if self.slice:
                await asyncio.sleep(0)

    def close(self) -> None:
        """End it, and every connection that goes through it."""
        if not self._loop.is_closed():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
            self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
