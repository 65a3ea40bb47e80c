"""edakit.workers: threads that find their end at any moment."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from edakit import App, Component
from edakit.transports.local import MemorySubscription
from edakit.workers import ThreadWorkers


class _EndsAsItGoesToSleep(ThreadWorkers):
    """Its thread looks for an event, finds none, and meets `stop` before it sleeps."""

    def __init__(self) -> None:
        self.stop_has_woken_all = threading.Event()
        subscription = SimpleNamespace(listen=lambda wake: None, next_due_ns=lambda: None)
        server: Any = SimpleNamespace(
            name="mail", component=SimpleNamespace(concurrency=1), subscription=subscription, receive=self._nothing_came, errors=[], now_ns=lambda: 0
        )
        super().__init__(server)

    def _nothing_came(self) -> None:
        self.stop_has_woken_all.wait()

    def wake_all(self) -> None:
        super().wake_all()
        self.stop_has_woken_all.set()


def test_a_thread_that_was_about_to_sleep_when_it_was_stopped_ends():
    workers = _EndsAsItGoesToSleep()
    workers.start()

    assert workers.stop(timeout=60)
    assert workers.ended
    assert workers.server.errors == []


def test_all_begin_to_leave_the_broker_before_the_first_waits_for_its_goodbye(monkeypatch):
    told, close = [], MemorySubscription.close
    monkeypatch.setattr(MemorySubscription, "leave", lambda subscription: told.append("leaves"))
    monkeypatch.setattr(MemorySubscription, "close", lambda subscription: (told.append("waits"), close(subscription)))
    app = App(Component("mail"), Component("stock")).start()
    told.clear()

    app.stop()

    assert told == ["leaves", "leaves", "waits", "waits"]
