"""The exercises of chapter 02, Build the event loop.

What an answer looks like:

02.1 `Loop` is the chapter's loop as a class: `Loop()`, `on(event_type, handler)`, `publish(event)`, `run()`; a handler is called with the event,
     all handlers of `type(event)` in the order of `on`. The body of `publish` is the gap. `check_02_1(Loop)`
02.2 `async def import_prices(prices, write, pause)` calls `write(price)` once for each price, in order. `write` keeps the thread busy for 0.1 to
     0.5 ms; `await pause()` gives the thread back to the loop and goes on when it is its turn again. The loop is to be held for
     50 ms at most at a time. `check_02_2(import_prices)`
02.3 `dispatch(event, handlers, report)` calls each of *handlers* with the event, in order. One that raises stops no other; `report(handler, error)`
     is called for it. `check_02_3(dispatch)`
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

from edakit.classroom.exercises import NothingHereError, NotYetError, exercise

__all__ = ["check_02_1", "check_02_2", "check_02_3"]

CHAIN = 10_000  # more than Python allows functions to call each other
LONGEST = 50.0  # that an import may hold the loop [ms]
IMPORTS: Final = ((10_000, 0.2), (2_000, 0.5), (1, 0.1))  # prices, and how long writing one takes [ms]
CLICK = 10.0  # when somebody clicks [ms]


class _Numbered:
    """What the handlers of the check are called with."""

    def __init__(self, number: int = 0) -> None:
        self.number = number


class _A(_Numbered):
    """The first event."""


class _B(_Numbered):
    """What A's handler publishes."""


class _C(_Numbered):
    """What B's handler publishes."""


@exercise(
    "02.1",
    "In order of publication",
    points=2,
    hints=(
        "Who is to call the handlers: publish, or run?",
        "publish only remembers the event. run takes the oldest one that is remembered.",
        "self.queue.append(event)",
    ),
)
def check_02_1(loop_class: Callable[[], Any]) -> str:
    """Look at the order in which handlers run that publish: within each other, side by side, and in a chain of 10,000."""
    _finishes_before_the_next(loop_class)
    _keeps_the_order_of_two_publishers(loop_class)
    _runs_a_long_chain(loop_class)
    return f"Tried: a handler that publishes, two that publish side by side, and a chain of {CHAIN:,} events."


def _finishes_before_the_next(loop_class: Callable[[], Any]) -> None:
    loop, log = loop_class(), []

    def b(_event: object) -> None:
        log.append("B begins")
        loop.publish(_C())
        log.append("B ends")

    loop.on(_B, b)
    loop.on(_C, lambda _: log.append("C"))
    loop.publish(_B())
    early = list(log)
    loop.run()
    if not log:
        raise NothingHereError("publish(event) has no effect yet: run finds no event in self.queue")
    if early or log.index("C") < log.index("B ends"):
        raise NotYetError(
            ", ".join(log),
            "B begins, B ends, C",
            "C ran before B finished: your publish called it. Put it at the end of the queue.",
            "what run does with the queue",
        )


def _keeps_the_order_of_two_publishers(loop_class: Callable[[], Any]) -> None:
    loop, log = loop_class(), []
    loop.on(_A, lambda event: [loop.publish(_B(10 * event.number)), loop.publish(_B(10 * event.number + 1))])
    loop.on(_A, lambda event: loop.publish(_B(10 * event.number + 2)))
    loop.on(_B, lambda event: log.append(event.number))
    for number in (1, 2):
        loop.publish(_A(number))
    loop.run()
    if log != [10, 11, 12, 20, 21, 22]:
        because = (
            "This happens when the newest event is taken first: a stack, not a queue." if sorted(log, reverse=True) == log else "Each event is to run once."
        )
        raise NotYetError(
            f"events in the order {log}",
            "[10, 11, 12, 20, 21, 22], as they were published",
            because,
            "the end at which publish adds, and the one where run takes",
        )


def _runs_a_long_chain(loop_class: Callable[[], Any]) -> None:
    loop, log = loop_class(), []

    def on(event: _Numbered) -> None:
        log.append(event.number)
        if event.number < CHAIN:
            loop.publish(_A(event.number + 1))

    loop.on(_A, on)
    loop.publish(_A(1))
    loop.run()
    if len(log) != CHAIN:
        raise NotYetError(
            f"{len(log):,} of {CHAIN:,} events", "all of them", "This happens when run stops before the queue is empty.", "the condition of its while"
        )


class _Pause:
    """What `await pause()` waits for."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class _Thread:
    """The one thread of the loop: what an import does with its time.

    Attributes:
        now: The time [ms].
        held: How long the import kept the thread, each time that it had it [ms].
        written: The prices in the order of writing.
        click: When the click was handled [ms].
    """

    def __init__(self, cost: float) -> None:
        self.now, self.cost = 0.0, cost
        self.held: list[float] = []
        self.written: list[int] = []
        self.click: float | None = None

    def write(self, price: int) -> None:
        """Write one price; the thread is busy meanwhile."""
        self.written.append(price)
        self.now += self.cost

    def run(self, import_prices: Callable[..., Any], prices: Sequence[int]) -> None:
        """Let the import run; whenever it gives the thread back, a click that has come meanwhile is handled."""
        began = self.now
        work = import_prices(prices, self.write, _Pause)
        awaitable = inspect.iscoroutine(work)
        while True:
            try:
                if awaitable:
                    work.send(None)
            except StopIteration:
                awaitable = False
            self.held.append(self.now - began)
            if self.click is None and self.now >= CLICK:
                self.click = self.now
            if not awaitable:
                return
            began = self.now


@exercise(
    "02.2",
    "An import that lets others in",
    points=3,
    hints=(
        "async alone changes nothing: the loop gets its thread back at an await that waits, and nowhere else.",
        "How many prices of 0.5 ms fit into 50 ms? Pause after that many.",
        "Inside of the loop over enumerate(prices, 1): if number % 100 == 0: await pause()",
    ),
)
def check_02_2(import_prices: Callable[..., Any]) -> str:
    """Count how long *import_prices* holds a loop whose clock is virtual, for other counts and costs."""
    longest, waited = 0.0, 0.0
    for count, cost in IMPORTS:
        thread, prices = _Thread(cost), list(range(100, 100 + count))
        thread.run(import_prices, list(prices))  # a list of its own: it may be used up
        if not thread.written and (count, cost) == IMPORTS[0]:
            raise NothingHereError("import_prices(prices, write, pause) writes no price yet")
        _compare_prices(thread.written, prices)
        longest = max(longest, round(max(thread.held), 3))
        waited = max(waited, (thread.click or CLICK) - CLICK)
        if longest > LONGEST:
            because = f"A slice of {longest / cost:,.0f} prices of {cost:g} ms is too long."
            if len(thread.held) == 1:
                because = f"Held for {longest:,.0f} ms. async gives the loop nothing back until an await really waits."
            raise NotYetError(
                f"{count:,} prices of {cost:g} ms held the loop for {longest:,.5g} ms, and a click at {CLICK:.0f} ms waited {waited:,.0f} ms",
                f"{LONGEST:.0f} ms at most",
                because,
                "how often your import awaits pause(), and after how many prices",
            )
    return f"Tried: 10,000 prices of 0.2 ms, and others. The loop was held for {longest:.3g} ms at most, and the click waited {waited:.3g} ms at most."


def _compare_prices(written: list[int], prices: list[int]) -> None:
    if written != prices:
        because = "This happens when the last slice is left out, or a slice begins where the one before has not ended."
        if sorted(written) == prices:
            because = "This happens when the prices are taken from the end of the list: the first one in it is to be written first."
        raise NotYetError(
            f"{len(written):,} of {len(prices):,} prices written{f', {written[:3]} first' if written else ''}",
            "all in their order, each once",
            because,
            "the begin and the end of your slices",
        )


class _FailedError(Exception):
    """What a handler of the check raises."""


@exercise(
    "02.3",
    "One handler fails, the others run",
    points=5,
    hints=(
        "Where does Python go on when a handler raises inside of your for?",
        "Put the try inside of the for, around the one call.",
        "except Exception as error: report(handler, error)",
    ),
)
def check_02_3(dispatch: Callable[..., Any]) -> str:
    """Let handlers fail: two, others, each, none; and let somebody press Stop."""
    for failing in ({0, 2}, {1}, {0, 1, 2, 3}, set()):
        for _ in range(3):
            _runs_all_and_reports(dispatch, failing)
    _lets_stop_through(dispatch)
    return "Tried: no handler that fails, one, two, all four, three times each; and Stop still stops."


def _runs_all_and_reports(dispatch: Callable[..., Any], failing: set[int]) -> None:
    event = _A()
    ran: list[int] = []
    called_with: list[tuple[Any, ...]] = []
    reported: list[tuple[Any, ...]] = []

    def handler(number: int) -> Callable[..., None]:
        def handle(*given: object) -> None:
            ran.append(number)
            called_with.append(given)
            if number in failing:
                raise _FailedError(number)

        return handle

    handlers = [handler(number) for number in range(4)]
    try:
        dispatch(event, handlers, lambda *said, **named: reported.append((*said, *(named[name] for name in ("handler", "error") if name in named))))
    except _FailedError as error:
        because = "An exception that nobody catches ends the for, and with it the turns of the others."
        raise NotYetError(
            f"the error of handler {error} came out of dispatch, and {len(ran)} of 4 handlers ran",
            "4 of 4",
            because,
            "the place of your try, and at the word after your except",
        ) from None
    if not ran:
        raise NothingHereError("dispatch(event, handlers, report) calls no handler yet")
    _are_called_with(event, called_with)
    if ran != list(range(4)):
        because = "This happens when the try stands around the whole for, or a break or return follows the report: the first error ends it."
        if sorted(ran) == list(range(4)):
            because = "All of them ran, in another order than that of the list."
        raise NotYetError(f"handlers {ran} ran", "[0, 1, 2, 3]", because, "the place of your try, and at what ends your for")
    _compare_report(reported, [handlers[number] for number in sorted(failing)])


def _are_called_with(event: object, called_with: list[tuple[Any, ...]]) -> None:
    for given in called_with:
        if len(given) != 1 or given[0] is not event:
            what = f"{len(given)} arguments" if len(given) != 1 else f"a {type(given[0]).__name__}"
            raise NotYetError(
                f"a handler was called with {what}", "handler(event)", "A handler gets the event that was dispatched, and nothing else.", "the call in your try"
            )


def _words(said: tuple[Any, ...]) -> str:
    """Return the arguments of a report, each in a word or two."""
    known = ("the error" if isinstance(each, _FailedError) else "a handler" if callable(each) else f"a {type(each).__name__}" for each in said)
    return f"report({', '.join(known)})"


def _compare_report(reported: list[tuple[Any, ...]], failed: list[Callable[[object], None]]) -> None:
    if len(reported) < len(failed):
        many, named = ("Two errors", "none") if (len(failed), len(reported)) == (2, 0) else (f"{len(failed)} errors", str(len(reported)))
        raise NotYetError(
            f"{len(failed)} handlers failed, and report was called {len(reported)} times",
            f"{len(failed)} times",
            f"{many} happened, your report names {named}.",
            "what stands after your except; an error that is passed over is an error that nobody mends",
        )
    right = [len(said) == 2 and said[0] is handler and isinstance(said[1], _FailedError) for said, handler in zip(reported, failed, strict=False)]  # noqa: PLR2004 (handler and error)
    if len(reported) > len(failed) or not all(right):
        because = "This happens when report gets something else than the handler that failed and what it raised, or is called for the others too."
        wrong = f", one of them {_words(reported[right.index(False)])}" if False in right else ""
        raise NotYetError(
            f"{len(reported)} reports for {len(failed)} errors{wrong}", "report(handler, error) for each that failed", because, "the arguments of your report"
        )


def _lets_stop_through(dispatch: Callable[..., Any]) -> None:
    def stop(_event: object) -> None:
        raise KeyboardInterrupt

    try:
        dispatch(_A(), [stop], lambda *_, **__: None)
    except KeyboardInterrupt:
        return
    because = "A bare except, or except BaseException, catches the Stop button of the notebook as well."
    raise NotYetError("Stop was pressed in a handler, and dispatch went on", "that it stops", because, "the word after your except: Exception is enough")
