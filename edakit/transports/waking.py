"""What the kombu transports made here share: they wait until they are woken, where kombu's own sleep and look again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from kombu.transport import virtual

from edakit.transports.broker import Content

__all__ = ["WakingChannel", "WakingTransport"]


class WakingChannel(virtual.Channel):  # type: ignore[misc]  # kombu is not typed
    """A kombu channel.

    Attributes:
        callbacks: By consumer tag, what is consumed (it knows `next_due_ns`), what to call, and whether to do without acks.
        prefetch_count: How many messages `drain_events` hands out before they are acked; 0 for no limit.
    """

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self.callbacks: dict[str, tuple[Any, Callable[[Any], Any], bool]] = {}
        self.prefetch_count = 0

    def prepare_message(
        self, body: Any, priority: Any = None, content_type: Any = None, content_encoding: Any = None, headers: Any = None, properties: Any = None
    ) -> Content:
        """Put the parts of a message together; the body stays as it is, not base64."""
        return (body, headers or {}, content_type, content_encoding, properties or {})

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Limit how many messages `drain_events` hands out before they are acked; 0 for no limit."""
        self.prefetch_count = prefetch_count

    def deliver_one(self) -> bool:
        """Call back for one message, if one is there and prefetch allows."""
        raise NotImplementedError


class WakingTransport(virtual.Transport):  # type: ignore[misc]  # kombu is not typed
    """A kombu transport whose publishers call `wake`, from whichever thread.

    Attributes:
        now_ns: The clock by which messages become due [ns].
        longest: How long to wait at most before looking again [s]; None where every message wakes.
    """

    now_ns: Callable[[], int] = time.time_ns
    longest: float | None = None

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self._awake = threading.Event()
        self.wake = self._awake.set

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Deliver one message, waiting for it up to *timeout* [s]; None waits for ever.

        Raises:
            TimeoutError: none came.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._awake.clear()
            if any(channel.deliver_one() for channel in list(self.channels)):
                return
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._awake.wait(min((wait for wait in (left, self.longest, self._until_due()) if wait is not None), default=None))

    def _until_due(self) -> float | None:
        dues = [due for channel in self.channels for source, *_ in channel.callbacks.values() if (due := source.next_due_ns()) is not None]
        # Not zero: what is due may have to wait for a place, and nobody tells when there is one.
        return max(0.001, (min(dues) - self.now_ns()) / 1e9) if dues else None

    def driver_version(self) -> str:
        """Return a version, as kombu asks of every transport."""
        return "1"
