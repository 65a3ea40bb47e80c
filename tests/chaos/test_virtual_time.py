"""CHECKS R13 and R17: the same seed gives the same trace, and running everything again leaves nothing behind."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from edakit import App, Component, CrashPoint, Exponential, Faults, Inbox
from edakit.transports.broker import Queue
from tests.chaos.record import FULL, tell
from tests.chaos.test_handling import counted
from tests.shop_language import AddItem, CartItemAdded, cart_component

ROOT = Path(__file__).parents[2]


def faulty_trace(seed):
    """Return the trace of a small shop under faults."""
    faults = Faults(CrashPoint("mail", "handled", nth=0, share=0.05), duplicate=0.1, delayed=0.1, delay=Exponential(0.3))
    mail = counted("mail", Counter(), takes=Exponential(0.01), concurrency=2)
    stock = counted("stock", Counter(), takes=Exponential(0.01), concurrency=2, order="per key", inbox=Inbox())
    app = App(cart_component(), mail, stock, clock="virtual", seed=seed, faults=faults)
    random = Random(seed)
    for _ in range(60):
        app.call_at(round(random.random() * 1e9), lambda: app.send(AddItem(cart_id=str(random.randrange(5)))))
    app.run_until_idle(on_error="retry")
    return "\n".join(app.trace.lines())


def test_r13_the_same_seed_gives_the_same_trace_byte_for_byte():
    traces = [faulty_trace(seed) for seed in range(500 if FULL else 50)]
    again = [faulty_trace(seed) for seed in range(len(traces))]

    tell("R13 virtual", attempt=len(traces), different=sum(one != other for one, other in zip(traces, again, strict=True)))
    assert again == traces
    assert len(set(traces)) == len(traces)
    assert all(f'"{outcome}"' in "".join(traces) for outcome in ("crashed", "duplicate", "handled"))


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_r13_another_process_writes_the_same_trace(hash_seed):
    code = "from tests.chaos.test_virtual_time import faulty_trace; print(faulty_trace(13))"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}

    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    assert other.strip() == faulty_trace(13)


def left_behind():
    """Count the threads, sockets and queues of this process."""
    gc.collect()
    kinds = Counter(type(thing) for thing in gc.get_objects())
    return threading.active_count(), kinds[socket.socket], kinds[Queue]


def run_all():
    """Make an app and run it, as a chapter does; return what it did, and the app, which a notebook's Out keeps."""
    applied = Counter()
    later = Component("later")

    @later.on(CartItemAdded)
    async def handle(event, context):
        await context.sleep(0)
        applied[f"later {event.cart_id}"] += 1

    app = App(cart_component(), counted("mail", applied), later, name="r17")
    app.start()
    for number in range(50):
        app.send(AddItem(cart_id=str(number)))
    app.wait_until_idle(60)
    return applied, app


def test_r17_making_and_running_everything_again_leaves_nothing_behind():
    before = left_behind()
    out = [run_all() for _ in range(5)]
    out.append((None, App(name="r17")))  # what is replaced must be stopped, not only forgotten
    assert all(now <= then for now, then in zip(left_behind()[:2], before[:2], strict=True))
    outputs = [applied for applied, _ in out[:5]]
    out.clear()
    after = left_behind()

    tell("R17 memory", attempt=5, threads=after[0] - before[0], sockets=after[1] - before[1], queues=after[2] - before[2])
    assert all(now <= then for now, then in zip(after, before, strict=True)), "what other tests left may go meanwhile"
    assert len(outputs[0]) == 100
    assert all(output == outputs[0] for output in outputs)
