"""Kill a worker that holds messages, as `kill -9` does, and see what becomes of them: two real processes on one real queue."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import edakit
from edakit.bus import EXCHANGE, Bus
from edakit.component import Component
from edakit.delivery import dead_queue
from edakit.errors import InvalidValueError, WaitTimeoutError
from edakit.measuring.attempts import Attempt, CrewRun, Death
from edakit.measuring.crew import MOMENTS, QUEUE, ParcelOrdered
from edakit.transports.address import parse_url, redact, within

__all__ = ["LEASE", "kill_a_worker"]

PATIENCE: Final = 60.0
"""How long anything may take before the experiment is given up [s]."""

LEASE: Final = 1.0
"""How long `sqlite://` hides what a dead process had [s]: short, so that nobody has to wait, and long enough for a busy machine to renew it."""

SILENCE: Final = 3 * LEASE
"""After so much time without an order, what has not come back does not come back [s]."""

JAMS: Final = {5: MOMENTS[0], 6: MOMENTS[1]}
"""Where the first worker is stuck when it is killed: one order in each of its two hands."""


def kill_a_worker(
    broker: str | None = None, *, ack: Literal["after", "before"] = "after", orders: int = 40, prefetch: int = 10, takes: float = 0.03
) -> CrewRun:
    """Let two processes pack *orders*; the first one is stuck at its fifth and sixth order and is killed. The second one goes on alone.

    One of the two is stuck before its parcel is packed, the other one after it is packed and before its handler ends. Nothing of it is left to chance,
    and nothing is left behind: no process, no file, no queue.

    Args:
        broker: Address of a broker that several processes can share; by default a `sqlite://` file of its own.
        ack: When the workers ack: "after" the work or "before" it.
        orders: How many orders are published.
        prefetch: Most messages that a process has and has not acked [messages].
        takes: How long an order takes [s].

    Raises:
        InvalidValueError: *prefetch* is less than 2, or so large that the second worker could take all *orders*.
        WaitTimeoutError: something took longer than a minute, or a process could not begin.
        BrokerError: the broker cannot be reached.
        CapabilityError: processes cannot share it.
    """
    least = max(JAMS)
    if prefetch < len(JAMS) or orders < prefetch + least:
        raise InvalidValueError("prefetch and orders", (prefetch, orders), f"prefetch of {len(JAMS)} or more, and at least {least} orders more than that")
    with ExitStack() as undo:
        url = undo.enter_context(_own_file()) if broker is None else within(broker, f"kill-{secrets.token_hex(4)}")
        settings = {"url": url, "ack": ack, "prefetch": prefetch, "hands": len(JAMS), "takes": takes, "jams": {}}
        bus = undo.enter_context(_bus(url))
        processes = [undo.enter_context(_process(settings | {"jams": jams})) for jams in (JAMS, {})]
        _until("two workers that are ready", lambda: all(process.ready() for process in processes))
        began = time.time()
        bus.publish_many(ParcelOrdered(number=number) for number in range(orders))
        _until("the first worker to be stuck", lambda: len(processes[0].told("jammed")) == len(JAMS))
        # What it did before has been acked by now; acks leave together, within milliseconds.
        _until("the second worker to have nothing to do", lambda: bus.backlog(QUEUE) == 0 and processes[1].idle)
        died = time.time()
        processes[0].kill()
        _until("the rest of the work", lambda: bus.backlog(QUEUE) == 0 and processes[1].idle and _is_over(processes, orders, died))
        attempts = _attempts([process.lines for process in processes], began)
        return CrewRun(orders, len(processes), attempts, (Death(0, round(died - began, 6)),), where=_where(bus, broker or "sqlite://"))


@contextmanager
def _own_file() -> Iterator[str]:
    # A process that was killed may hold its files for a moment (Windows).
    with tempfile.TemporaryDirectory(prefix="edakit-kill-", ignore_cleanup_errors=True) as folder:
        yield f"sqlite:///{Path(folder).as_posix()}/shop.db?lease={LEASE}"


@contextmanager
def _bus(url: str) -> Iterator[Bus]:
    for capability in ("processes", "shares_events"):
        parse_url(url).broker.need(capability, "share one queue, message by message, between two processes")
    component = Component(QUEUE)
    component.on(ParcelOrdered)(lambda event, context: None)  # noqa: ARG005 (a handler's signature: this process only publishes)
    with closing(Bus(url)) as bus:
        try:
            bus.declare(component)
            yield bus
        finally:
            channel = bus.connect().channel()
            for queue in (QUEUE, dead_queue(QUEUE)):
                channel.queue_delete(queue)
            channel.exchange_delete(EXCHANGE)


def _where(bus: Bus, url: str) -> str:
    """Return name and version of a server, else the address without password."""
    server = getattr(bus.connect().connection, "server_properties", None)
    return f"{server['product']} {server['version']}" if server else redact(url)


class _Process:
    """One worker, and what it has told.

    Attributes:
        lines: Each with what happened, when [s since 1970], and of which order.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.lines: list[list[Any]] = []
        path = os.pathsep.join(filter(None, [str(Path(edakit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "edakit.measuring.packer"]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.running = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, text=True, **pipes)  # noqa: S603 (our own module)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._write(json.dumps(settings) + "\n")

    def _write(self, text: str) -> None:
        stdin = cast("IO[str]", self.running.stdin)
        stdin.write(text)
        stdin.flush()

    def _read(self) -> None:
        self.lines.extend(map(json.loads, cast("IO[str]", self.running.stdout)))

    def told(self, what: str) -> list[list[Any]]:
        """Return the lines that say *what*."""
        return [line for line in self.lines if line[0] == what]

    def ready(self) -> bool:
        """Return whether it serves the queue.

        Raises:
            WaitTimeoutError: it has ended before, with the last line that it wrote.
        """
        if self.running.poll() is not None:
            said = cast("IO[str]", self.running.stderr).read().strip().rpartition("\n")[2]
            raise WaitTimeoutError("a worker that is ready", PATIENCE, f"its process ended: {said}")
        return bool(self.told("ready"))

    @property
    def idle(self) -> bool:
        """Whether it has ended whatever it began."""
        return len(self.told("began")) == len(self.told("ended"))

    def kill(self) -> None:
        """End it at once: SIGKILL, or what Windows has for it."""
        self.running.kill()
        self.running.wait()
        self._reader.join(PATIENCE)

    def close(self) -> None:
        """Ask it to end, and make it end."""
        with suppress(OSError, subprocess.TimeoutExpired):
            cast("IO[str]", self.running.stdin).close()  # its input ends, and so does it
            self.running.wait(PATIENCE)
        self.kill()
        for pipe in (self.running.stdout, self.running.stderr):
            cast("IO[str]", pipe).close()


@contextmanager
def _process(settings: Mapping[str, Any]) -> Iterator[_Process]:
    process = _Process(settings)
    try:
        yield process
    finally:
        process.close()


def _until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise WaitTimeoutError(what, PATIENCE, "the machine may be very busy: try again")
        time.sleep(0.002)


def _is_over(processes: Iterable[_Process], orders: int, died: float) -> bool:
    """Whether all orders came to an end, or nobody has begun one for so long that what the dead process had must be back by now."""
    # No broker is asked: RabbitMQ does not tell what another process holds.
    lines = [line for process in processes for line in process.told("ended")]
    return len({line[2] for line in lines}) == orders or time.time() - max(died, *(line[1] for line in lines)) > SILENCE


def _attempts(told: Iterable[list[list[Any]]], began: float) -> tuple[Attempt, ...]:
    """Put the lines of all workers together; times count from *began* [s since 1970]."""
    found: dict[tuple[int, int], Attempt] = {}
    for worker, lines in enumerate(told):
        for what, at, *about in lines:
            if what == "began":
                found[worker, about[0]] = Attempt(about[0], worker, about[1], round(at - began, 6), None, None)
            elif what in {"packed", "ended"}:
                found[worker, about[0]] = found[worker, about[0]]._replace(**{what: round(at - began, 6)})
    return tuple(sorted(found.values(), key=lambda attempt: attempt.began))
