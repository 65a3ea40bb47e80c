"""One side of a peer, publisher or consumer, in a process of its own: orders come in as lines of JSON, answers go out as such.

`python -m tests.bench.brokers.side MODULE URL`, with the Python of the environment in which the peer is installed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import nullcontext
from importlib import import_module

from tests.bench.brokers.profile import profiled


def used() -> float:
    """Return the processor time of this process and of the children that have ended [s]."""
    return time.process_time() + sum(os.times()[2:4])


def main(module: str, url: str) -> None:
    """Carry out orders until there are no more."""
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(what: object) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    peer = import_module(f"tests.bench.brokers.peers.{module}").Peer(url)
    say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        action, text = getattr(peer, order.pop("do")), []
        profiling = profiled(text) if order.pop("profile", False) else nullcontext()
        begun, cpu = time.monotonic_ns(), used()
        with profiling:
            answer = action(**order, ready=lambda: say({"ready": True})) if action.__name__ == "consume" else action(**order)
        say({"begun": begun, "ended": time.monotonic_ns(), "cpu": used() - cpu, "profile": text, **(answer or {})})


if __name__ == "__main__":
    main(*sys.argv[1:])
