"""Components, their bus and the loop in one object: what a notebook uses."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Literal, Self, TypeVar, cast
from weakref import WeakValueDictionary, finalize

from edakit.bus import Bus
from edakit.checks import choice, expect, whole
from edakit.clock import NS, Clock, SystemClock, VirtualClock, to_ns
from edakit.codec import MAX_BODY
from edakit.component import Component
from edakit.delivery import DeadLetter, Hooks
from edakit.errors import ClosedError, InvalidValueError, UnknownComponentError, VirtualTimeError, WaitTimeoutError
from edakit.events import Command, Event, Message, Receipt, type_name
from edakit.faults import Faults
from edakit.running import Running
from edakit.table import Table
from edakit.trace import Trace
from edakit.transports.address import redact, require

__all__ = ["App"]

_M = TypeVar("_M", bound=Message)
_apps: WeakValueDictionary[tuple[str, str], App] = WeakValueDictionary()


class App:
    """Components on one broker, driven by one clock.

    Nothing is opened before it is used. A cell that is run again makes a new app of the same module and name, which stops the old one;
    in a notebook an app without a name is known by its components.

    Args:
        components: Who takes part; more can `add` later, and get what is published from then on.
        broker: Address of the broker; by default $EDAKIT_BROKER, else memory://.
        clock: "wall" for real time, "virtual" for a clock that jumps from event to event.
        seed: Seed of everything drawn at random.
        name: Name of the app, and the source of what it publishes.
        faults: What is to go wrong.
        max_body: Largest body of an event [bytes].

    Raises:
        BrokerURLError: the address cannot be read, or the broker is not offered.
        CapabilityError: the broker does not go with a virtual clock.
        InvalidValueError: two components have one name, or an argument is outside of what makes sense.
    """

    def __init__(
        self,
        *components: Component,
        broker: str | None = None,
        clock: Literal["wall", "virtual"] = "wall",
        seed: int = 0,
        name: str | None = None,
        faults: Faults | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        self.components: dict[str, Component] = {}
        self.trace, self.hooks = Trace(), Hooks()
        expect("name", name, str | None, "a text, such as 'shop'")
        expect("faults", faults, Faults | None, "Faults(…), such as Faults(duplicate=0.1)")
        whole("max_body", max_body)
        self.name = name or "app"
        self._faults, self._max_body = faults, max_body
        self._running: Running | None = None
        self._paused: set[str] = set()
        self._dead: dict[str, list[DeadLetter]] = {}
        self._closed = False
        self._lock = threading.RLock()
        self.seed = seed
        self.broker = broker if broker is not None else os.environ.get("EDAKIT_BROKER") or "memory://"
        self.configure(clock="wall" if clock is None else clock)
        for component in components:
            self.add(component)
        self._replace(sys._getframe(1).f_globals.get("__name__", "?"), name)  # noqa: SLF001 (no other way to know who makes the app)

    def _replace(self, module: str, name: str | None) -> None:
        if name or module == "__main__":
            place = (module, name or "+".join(self.components))
            if place in _apps:
                _apps[place].stop()
            _apps[place] = self

    @property
    def paused(self) -> frozenset[str]:
        """The names of the components that are paused."""
        return frozenset(self._paused)

    def configure(self, *, clock: Literal["wall", "virtual"] | None = None, seed: int | None = None, broker: str | None = None) -> None:
        """Choose clock, seed or broker, as long as the app was not used.

        Raises:
            InvalidValueError: the app was used already, or the clock is unknown.
            BrokerURLError, CapabilityError: as for `App`.
        """
        if self._running is not None:
            raise InvalidValueError("configure(…)", "an app that was used", "a new app: clock, seed and broker cannot change on the way")
        if clock is not None:
            choice("clock", clock, "wall", "virtual")
            self.clock: Clock = VirtualClock() if clock == "virtual" else SystemClock()
        self.seed = self.seed if seed is None else seed
        self.broker = self.broker if broker is None else broker
        require(self.broker, virtual=self.clock.virtual)

    @property
    def now_ns(self) -> int:
        """The app's time [ns]: since 1970-01-01 UTC, and in virtual time since its start."""
        return self.clock.now_ns()

    @property
    def bus(self) -> Bus:
        """The bus, opened when first used.

        Raises:
            ClosedError: the app is closed.
        """
        return self._open.bus

    @property
    def _open(self) -> Running:
        """What is open, opened when first used."""
        if self._closed:
            raise ClosedError("the app")
        if self._running is None:
            with self._lock:  # no other thread gets it before every component has its queue: what it published would reach nobody
                self._running = self._running or self._begin()
        return self._running

    def _begin(self) -> Running:
        seed = self.seed if self.clock.virtual else None
        bus = Bus(self.broker, clock=self.clock, seed=seed, trace=self.trace, hooks=self.hooks, max_body=self._max_body)
        running = Running(bus, self.seed, self._paused)
        try:
            for component in self.components.values():
                bus.declare(component)
            # From the first event on, so that events are handled in the order of publication.
            running.here(self.components.values())
        except BaseException:
            # Half opened, it would take events that nobody handles: the next use begins again, and says again what is wrong.
            running.end()
            raise
        if self._faults is not None:
            self._faults.install(self.hooks, self.seed)
        self._finalizer = finalize(self, Running.end, running)
        return running

    def add(self, component: Component) -> None:
        """Let one more component take part, from now on: what was published before does not reach it.

        Raises:
            InvalidValueError: another component has this name, or it is no component.
        """
        expect("a component", component, Component, "a Component, such as Component('cart'); an app's name and broker are name= and broker=")
        with self._lock:
            if component.name in self.components:
                raise InvalidValueError("a component", component.name, f"a name that is not taken yet (taken: {', '.join(self.components)})")
            if self._running is not None:
                self.bus.declare(component)
            # All in one piece, since other threads go through it; and not before there is a queue, for which they would ask.
            self.components = {**self.components, component.name: component}
            component.watchers.add(self)
            if self._running is not None:
                self._running.serve(component)

    def bind(self, component: Component) -> None:
        """Take note that *component* has got a handler (it calls this itself)."""
        with self._lock:  # not while another thread opens it, which may have bound the component's queue to what it handled before
            running = None if self._closed else self._running
        if running is not None:
            running.bind(component)

    def publish(self, event: Event, *, key: str | None = None, must_route: bool = False, due_at: int | None = None) -> Receipt:
        """Publish *event*; see `Bus.publish`."""
        # Not through the property, once it is open: one costs more than a call where caches are cold, as they are before nearly every event.
        running = None if self._closed else self._running
        bus = self.bus if running is None else running.bus
        return bus.publish(event, key=key, must_route=must_route, due_at=due_at, source=self.name)

    def publish_many(self, events: Iterable[Event]) -> list[Receipt]:
        """Publish *events* in order; return when the broker has them all."""
        return self.bus.publish_many(events, source=self.name)

    def send(self, command: Command, *, key: str | None = None, due_at: int | None = None) -> Receipt:
        """Send *command* to its one handler; see `Bus.send`."""
        return self.bus.send(command, key=key, due_at=due_at, source=self.name)

    def call_at(self, time_ns: int, function: Callable[[], None]) -> None:
        """Call *function* when the app's clock shows *time_ns* [ns], from `advance` or `run_until_idle`; `start` and `stop` forget what is still to come."""
        expect("function", function, Callable, "a function without arguments, such as lambda: app.pause('stock')")
        self._open.here(self.components.values()).call_at(time_ns, function)

    def run_until_idle(self, *, on_error: Literal["raise", "retry"] = "raise") -> int:
        """Handle events in this thread until none is left, paused components aside.

        Args:
            on_error: "raise" gives you a handler's exception as it is, and keeps its event among the dead letters; "retry" tries again.

        Returns:
            How many deliveries came to their end [deliveries].

        Raises:
            VirtualTimeError, InvalidValueError: the app runs already, in the background or in another thread; *on_error* is neither of the two.
        """
        return self._run(None, on_error)

    def advance(self, seconds: float, *, on_error: Literal["raise", "retry"] = "raise") -> int:
        """Let *seconds* [s] of virtual time pass, and everything happen that belongs into them; returns and raises as `run_until_idle`.

        Raises:
            VirtualTimeError: the app has a wall clock.
        """
        if not self.clock.virtual:
            raise VirtualTimeError("advance() moves a virtual clock, and this app has a wall clock; make it with App(…, clock='virtual')")
        return self._run(self.now_ns + to_ns(seconds), on_error)

    def _run(self, until_ns: int | None, on_error: str, stop: Callable[[], bool] | None = None) -> int:
        choice("on_error", on_error, "raise", "retry")
        running, before = self._open, self.trace.ended
        running.run(self.components.values(), until_ns, stop, retrying=on_error == "retry")
        return self.trace.ended - before

    def start(self) -> Self:
        """Serve all components in the background, until `stop`.

        Raises:
            VirtualTimeError: virtual time has no background.
        """
        if self.clock.virtual:
            raise VirtualTimeError("virtual time runs in your own thread: call advance(seconds) or run_until_idle(), or make the app with clock='wall'")
        with self._lock:
            self._open.start(self.components.values())
        return self

    def stop(self, timeout: float = 5.0) -> None:
        """End the background: handlers that run may finish, what was not acked goes back to its queue; the event of a handler that calls this too.

        Raises:
            WaitTimeoutError: a handler did not finish within *timeout* [s]; its event is delivered again.
        """
        if self._running is not None and (late := self._running.stop(timeout)):
            raise WaitTimeoutError("the end of a handler", timeout, f"still running: {', '.join(late)}")

    def close(self) -> None:
        """Stop, and give everything back; trace, report and dead letters can still be read. Doing so twice is doing it once."""
        with self._lock:  # not while another thread opens or starts it
            closed, self._closed, running = self._closed, True, self._running
        if closed or running is None:
            return
        try:
            running.stop()  # first: what is still buried is among the dead letters that are read then
            running.bus.link.hurry()
            with suppress(ClosedError):  # somebody closed its bus
                for name in self.components:
                    self._dead[name] = running.bus.dead_letters(name)
        finally:  # a broker that is away keeps its dead letters, and nothing of ours
            self._finalizer()

    def __enter__(self) -> Self:
        if not self.clock.virtual:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_for(self, event_type: type[_M], timeout: float = 2.0) -> _M:
        """Return the next event of *event_type*, of the newest 1,000, that was published and not yet returned here, waiting for it up to *timeout* [s].

        Raises:
            WaitTimeoutError: none was published in time.
            InvalidValueError: *event_type* is no Event or Command class, or *timeout* no number of seconds.
        """
        running = self._open
        found, allowed_ns = running.bus.recent[type_name(event_type)], to_ns(timeout)
        if running.background:
            changed = threading.Event()
            forget = self.hooks.on("published", lambda *_: changed.set())
            deadline = time.monotonic() + allowed_ns / NS
            while not found and (left := deadline - time.monotonic()) > 0:
                changed.wait(left)
                changed.clear()
            forget()
        elif not found:
            self._run(self.now_ns + allowed_ns, "raise", lambda: bool(found))
        if not found:
            raise WaitTimeoutError(type_name(event_type), timeout, f"{len(self.trace.publications)} other events were published")
        return cast("_M", found.popleft())

    def wait_until_idle(self, timeout: float = 10.0) -> None:
        """Wait until no component in the background has anything to do, paused ones aside.

        Raises:
            WaitTimeoutError: it takes longer than *timeout* [s].
            Exception: what ended the background of a component that has something to do; see `failures`.
        """
        deadline = time.monotonic() + to_ns(timeout) / NS
        while busy := self._open.outstanding(self.components):
            if ended := [error for name, error in self.failures.items() if name in busy]:
                raise ended[0]
            if time.monotonic() > deadline:
                left = [f"{name} has {count} events" for name, count in busy.items()]
                raise WaitTimeoutError("the end of all work", timeout, ", ".join([*left, *self._unburied()]))
            time.sleep(self.bus.link.pause)

    def pause(self, name: str) -> None:
        """Let component *name* take no more events; they wait in its queue."""
        self._paused.add(self._known(name))

    def resume(self, name: str) -> None:
        """Let component *name* go on, with what has waited first."""
        self._paused.discard(self._known(name))
        if self._running is not None:
            self._running.resume(name)

    @property
    def failures(self) -> dict[str, BaseException]:
        """What ended the background of a component, past its handlers, by the component's name: it serves no more."""
        return {} if self._running is None else self._running.failures

    def _unburied(self) -> list[str]:
        """Return for each component whose last dead letter could not be written why not."""
        servers = () if self._running is None else tuple(self._running.servers.values())
        return [f"{each.name}: no dead letter was written, so what was not acked comes again ({error})" for each in servers for error in each.unburied]

    def backlog(self, name: str) -> int:
        """Return how many events wait in the queue of component *name*, those being handled not counted [events]."""
        return self.bus.backlog(self._known(name))

    def dead_letters(self, name: str | None = None) -> list[DeadLetter]:
        """Return the dead letters of component *name*, or of all, oldest first; they stay where they are."""
        names = list(self.components) if name is None else [self._known(name)]
        return [dead for each in names for dead in (self._dead.get(each, []) if self._closed else self.bus.dead_letters(each))]

    def redrive(self, name: str) -> int:
        """Put the dead letters of component *name* back into its queue, as far as it has room; return how many [messages]. See `Bus.redrive`."""
        return self.bus.redrive(self._known(name))

    def report(self) -> Table:
        """Return what became of the deliveries of each component, the dead by name."""
        waiting = {name: 0 if self._closed else self.backlog(name) for name in self.components}
        dead = [f"{letter.component}: {letter.error} (in {letter.handler or 'no handler'}, line {letter.line})" for letter in self.dead_letters()]
        return self.trace.report(waiting, [*dead, *self._unburied()])

    def __repr__(self) -> str:
        clock = "virtual time" if self.clock.virtual else "real time"
        return f"App({', '.join(self.components)}; {redact(self.broker)}, {clock})"

    def _known(self, name: str) -> str:
        if not isinstance(name, str) or name not in self.components:
            raise UnknownComponentError(name, self.components)
        return name
