"""Events that flow to a consumer in this process while somebody does harm to the broker or to the line."""

from __future__ import annotations

import threading
import time

import pytest

from edakit import App
from edakit.errors import BrokerError
from tests.chaos.cart_process import Effects, consumer
from tests.chaos.record import printed
from tests.conformance.helpers import added, until


class UnderLoad:
    """Publishes *rate* events a second [1/s] and consumes them, from `with` on; at its end all that is left is done.

    Attributes:
        app: Who publishes and consumes.
        effects: What was applied.
        confirmed: The ids of the events that the broker confirmed, in order.
        uncertain: How many it did not.
    """

    def __init__(self, url, folder, *, rate=500):
        self.effects, self.confirmed, self.uncertain = Effects(str(folder / "effects.db")), [], 0
        self.app, self._rate, self._over = App(consumer(self.effects), broker=url), rate, threading.Event()
        self._producing = threading.Thread(target=self._produce)

    def __enter__(self):
        self.app.start()
        self.app.bus.link  # noqa: B018 (opened before the harm)
        self._producing.start()
        until(lambda: self.effects.count() > 100)
        return self

    def __exit__(self, kind, error, trace):
        self._over.set()
        self._producing.join()
        if error is None:
            self.app.wait_until_idle(60)
        self.app.close()

    def _produce(self):
        number, due = 0, time.monotonic()
        while not self._over.is_set():
            try:
                self.confirmed.append(self.app.publish(added(number, str(number % 100))).id)
            except BrokerError:
                self.uncertain += 1
            number += 1
            # What was missed while the broker was away is not made up for: it would be more than the consumer can take.
            due = max(due + 1 / self._rate, now := time.monotonic())
            time.sleep(due - now)

    def recovery(self, seconds=60):
        """Return how long it takes from now until an event that is published from now on is confirmed and applied [s]."""
        begin, known, uncertain = time.monotonic(), len(self.confirmed), self.uncertain
        # Of few events and not too often: who asks for all of them at each turn takes the time of those who publish and consume.
        while not self.effects.has_any(self.confirmed[known : known + 100]):
            if time.monotonic() - begin > seconds:
                told = f"{len(self.confirmed) - known} confirmed and {self.uncertain - uncertain} not; failures {self.app.failures}"
                pytest.fail(f"nothing that was published within {seconds} s was applied: {told}")
            time.sleep(0.02)
        return time.monotonic() - begin

    def told(self, check, **more):
        """Print and return the record."""
        found = printed(check, set(self.confirmed), self.effects, uncertain=self.uncertain, **more)
        found["attempt"] += self.uncertain
        self.effects.connection.close()
        return found
