"""`edakit worker COMPONENT … --broker URL`: one or more components as a process of their own, on any machine that reaches the broker.

Of a component of the shop one process serves at a time, since it keeps its carts, orders or counts in memory. They are not lost with it: at its start a
worker rebuilds them from the journal (`edakit.shop.journal`), so a killed one goes on where it was, on the same host or on another. One that finds its
component served stands by, and takes over when the other has gone (`edakit.shop.owner`).

No database is shared, so nothing but the broker has to be reached, and no shared queue hands the events of one cart to two processes at a time, which on
RabbitMQ would lose their order. More than one processor is used by components side by side, more of one component by `--concurrency`.

Your own component, `package.module:component`, runs in as many processes as you start: what it keeps, and whether several may keep it, is its own matter.
"""

# A command line prints.
# ruff: noqa: T201

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from edakit.app import App
from edakit.bus import Bus
from edakit.component import Component
from edakit.errors import EdakitError, InvalidValueError, WaitTimeoutError
from edakit.shop.app import COMPONENTS, Shop, build_shop
from edakit.shop.catalogue import Catalogue
from edakit.shop.journal import keep, past
from edakit.shop.owner import one_at_a_time, served, wait_until, wait_until_free
from edakit.shop.restore import restore
from edakit.trace import Trace
from edakit.transports.address import redact, require

__all__ = ["WorkerComponentError", "WorkerFailedError", "add_arguments", "make_app", "run"]

STOPPING: Final = 4.0
"""How long handlers may take to finish [s]; with the goodbye to the broker it is less than five."""
LOOK: Final = 0.25
"""Between two looks whether all is well [s]."""


class WorkerComponentError(EdakitError):
    """There is no such component."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(name, problem)

    def __str__(self) -> str:
        return f"{self.name!r} {self.problem}; known are {', '.join(COMPONENTS)}, and package.module:component of your own"


class WorkerFailedError(EdakitError):
    """A component in the background has ended."""

    def __init__(self, failures: dict[str, BaseException]) -> None:
        self.failures = failures
        super().__init__(failures)

    def __str__(self) -> str:
        said = "; ".join(f"{name}: {type(error).__name__}: {error}" for name, error in self.failures.items())
        return f"it can serve no more ({said}); what it had not acked goes back, so start it again when that is mended"


class _Stopped(BaseException):
    """Somebody asked for the end before the beginning was over."""


class _Counts(Trace):
    """A trace that counts and keeps no row: a worker may run for months."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.published, self.delivered = _forget, self._count

    def _count(self, row: tuple[Any, ...]) -> None:
        with self._lock:
            self.outcomes[row[4]] += 1

    def __str__(self) -> str:
        return ", ".join(f"{self.outcomes[outcome]:,} {outcome}" for outcome in ("handled", "retried", "dead"))


def _forget(row: tuple[Any, ...]) -> None:
    """Keep nothing."""


_SIGNALS: Final = [number for name in ("SIGINT", "SIGTERM", "SIGBREAK") if (number := getattr(signal, name, None))]  # Windows alone has Ctrl-Break


class _Signals:
    """SIGTERM and Ctrl-C, and on Windows Ctrl-Break: the first asks for the end; after it Ctrl-C is the end, and the others have been heard."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.serving = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Answer them as long as the block lasts."""
        before = {number: signal.signal(number, self._answer) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _answer(self, _number: int, _frame: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else _heard)
        self.asked.set()
        if not self.serving:
            raise _Stopped


def _heard(_number: int, _frame: object) -> None:
    """Do nothing. With SIG_IGN in its place, Python complains of a signal that came together with the first one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit worker`."""
    parser.add_argument("components", metavar="COMPONENT", nargs="+", help=f"{', '.join(COMPONENTS)}, or package.module:component of your own")
    parser.add_argument("--broker", metavar="URL", help="address of the broker (default: $EDAKIT_BROKER, which other users of the machine cannot read)")
    parser.add_argument("--concurrency", metavar="N", type=int, help="how many events of a component are handled at the same time (default: its own, 1)")
    parser.add_argument("--catalogue", metavar="FILE", type=Path, help="the shop's products, as data/catalogue.csv (default: 500 made-up ones)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until somebody asks for the end; return the exit status: 0, 1 if it could not go on or a handler did not finish, 2 if it could not begin."""
    signals = _Signals()
    with signals.caught():
        try:
            app = make_app(arguments.components, arguments.broker, arguments.concurrency, arguments.catalogue)
            app.trace = counts = _Counts()
            _begin(app, [name for name in arguments.components if name in COMPONENTS], signals)
            _serve(app, counts, signals)
        except _Stopped:
            return 0
        except WaitTimeoutError as error:
            return _said(f"a handler did not finish within {STOPPING:g} s ({error.seen}); what it had goes back and is handled again", 1)
        except WorkerFailedError as error:
            return _said(error, 1)
        except EdakitError as error:
            return _said(error, 2)
    return 0


def _said(error: object, status: int) -> int:
    print(f"edakit worker: {error}", file=sys.stderr)
    return status


def make_app(names: list[str], broker: str | None = None, concurrency: int | None = None, catalogue: Path | None = None) -> Shop:
    """Make the app of a worker: it has these components and no other.

    Args:
        names: Components of the shop, or `package.module:component`.
        broker: As for `App`.
        concurrency: As for `Component`; its own unless given.
        catalogue: A file with the shop's products.

    Raises:
        WorkerComponentError: there is no such component.
        CapabilityError: the broker lives in one process.
        BrokerURLError, InvalidValueError, CatalogueFileError: as for `App`, `Component` and `Catalogue.read`.
    """
    if concurrency is not None and concurrency < 1:
        raise InvalidValueError("--concurrency", concurrency, "a whole number of 1 or more")
    if unknown := [name for name in names if ":" not in name and name not in COMPONENTS]:
        raise WorkerComponentError(unknown[0], "is no component of the shop")
    products = Catalogue.read(catalogue) if catalogue else None
    app = build_shop(components=[name for name in names if ":" not in name], broker=broker, catalogue=products)
    require(app.broker, virtual=False).broker.need("processes", "share events with another process")
    for name in names:
        if ":" in name:
            app.add(_own(name))
    for component in app.components.values():
        component.concurrency = concurrency or component.concurrency
    return app


def _own(name: str) -> Component:
    """Return a component of the user's own, from the current folder or from what is installed."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # and there it stays: a handler may import more
    try:
        found = getattr(import_module(module), attribute, None)
    except (Exception, SystemExit) as error:
        raise WorkerComponentError(name, f"cannot be imported ({type(error).__name__}: {error})") from error
    if not isinstance(found, Component):
        raise WorkerComponentError(name, f"is no Component: {module} has {f'{attribute} = {found!r}' if found is not None else 'no such name'}")
    return found


def _begin(shop: Shop, names: list[str], signals: _Signals) -> None:
    """Start, the shop's components as soon as they are free, and with what they kept."""
    with closing(Bus(shop.broker)) as bus:
        if names:
            keep(bus)
        queues = shop.bus  # from here on they are there, and what is published waits
        while not signals.serving:
            wait_until_free(queues, names, _tell)
            with one_at_a_time(bus, names):
                if not served(queues, names):  # another one that stood by may have been quicker
                    restore(shop, names, past(bus) if names else ())
                    signals.serving = True
                    shop.start()
                    wait_until(lambda: signals.asked.is_set() or len(served(queues, names)) == len(names))


def _tell(names: list[str]) -> None:
    print(f"edakit worker: another process serves {', '.join(names)}; this one stands by", flush=True)


def _serve(app: App, counts: _Counts, signals: _Signals) -> None:
    """Go on until somebody asks for the end, then stop; print a line at the beginning and one at the end.

    Raises:
        WaitTimeoutError: a handler did not finish in time; its event is delivered again.
        WorkerFailedError: a component can serve no more.
    """
    who = ", ".join(app.components)
    try:
        print(f"edakit worker: {who} ready at {redact(app.broker)}", flush=True)
        while not signals.asked.wait(LOOK):
            if failures := app.failures:
                raise WorkerFailedError(failures)
    finally:
        try:
            app.stop(STOPPING)
        finally:
            app.bus.close()
            print(f"edakit worker: {who} stopped; {counts}", flush=True)
