"""asyncio as its users run it: on uvloop where there is one, with as many publications under way as a window holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

try:
    import uvloop
except ImportError:  # Windows
    uvloop = None


def runner() -> asyncio.Runner:
    """Return what runs coroutines, one after the other, on one loop."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None)


async def windowed(publish: Callable[[Any], Awaitable[Any]], events: Iterable[Any], window: int) -> None:
    """Publish *events*, at most *window* of them at a time; return when all are confirmed."""
    waiting = iter(events)

    async def worker() -> None:
        for event in waiting:
            await publish(event)

    async with asyncio.TaskGroup() as group:
        for _ in range(window):
            group.create_task(worker())
