"""A worker on Kafka as a process of its own: python -m tests.chaos.kafka_side consume URL EFFECTS PAUSE [what is wrong with it]."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from edakit.transports.kafka_marks import Mark
from tests.chaos import cart_process

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could answer")


@contextmanager
def process(*arguments):
    """Run one worker in a process of its own; killed at the end if it still runs."""
    running = subprocess.Popen([sys.executable, "-m", "tests.chaos.kafka_side", *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout.readline() == "ready\n"
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
        running.stdout.close()


def printed(check, confirmed, effects, **more):
    """Return and print the record of a run whose effects stand in a database."""
    ids = effects.ids()
    found = {
        "check": check,
        "attempt": len(confirmed),
        "confirmed": len(confirmed),
        "uncertain": None,
        "applied": len(ids & confirmed),
        "lost": len(confirmed - ids),
        "duplicated_delivery": effects.one("SELECT sum(deliveries - 1) FROM applied"),
        "double_applied": effects.one("SELECT sum(quantity) FROM cart") - len(ids),
        "dead": None,
        "out_of_order": None,
        "recovery_s": None,
        "seed": 0,
        **more,
    }
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    _, what, url, effects, pause, *wrong = sys.argv
    if wrong:
        # Switch off what the guarantee rests on: commit all that was fetched, as stock kombu does, handled or not.
        Mark.low = property(lambda self: self.next)
    cart_process.consume(url, effects, pause)
