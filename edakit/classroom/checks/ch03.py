"""The exercises of chapter 03, The message queue.

What an answer looks like:

03.1 `work(queue, pack)` is a worker: as long as `queue.get()` gives a message, it calls `pack(message.number)` and `message.ack()`. The loop is given, the two
     calls are the gap. When the worker is killed, `pack` does not return; a new worker begins with a new call of `work`. `check_03_1(work)`
03.2 `prefetch_for(takes, round_trip)` returns the smallest prefetch with which one worker never waits for the broker: an order takes *takes* [s], and
     from an ack until the next message is there it takes *round_trip* [s]. `check_03_2(prefetch_for)`
03.3 `build_payment(bank)` returns a `Component("payment")` that handles `OrderPlaced`. `bank.charge(order_id, pence)` takes the money each time that it is
     called, `bank.knows(order_id)` tells whether it was taken. Wherever the process is killed, each order is to be charged once.
     Its first line is given. `check_03_3(build_payment)`
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final, cast

from edakit.app import App
from edakit.bus import Bus
from edakit.classroom.exercises import NothingHereError, NotYetError, answered, exercise, virtual, whole
from edakit.component import Component
from edakit.delivery import Crash, Hooks
from edakit.faults import Faults
from edakit.measuring.crew import QUEUE, ParcelOrdered, run_crew
from edakit.shop.events import OrderLine, OrderPlaced

__all__ = ["check_03_1", "check_03_2", "check_03_3"]

ORDERS = 6
# At which call of pack the worker is killed, and whether its parcel is packed by then.
KILLS: Final[Sequence[dict[int, bool]]] = ({3: False}, {3: True}, {1: False, 3: True, 6: False}, {1: True, 2: True}, {})


class _Table:
    """Where the parcels are, and who kills the worker when.

    Attributes:
        parcels: The orders that were packed, in order.
        failed: The order with which the worker was killed last.
    """

    def __init__(self, kills: dict[int, bool]) -> None:
        self.kills, self.calls = kills, itertools.count(1)
        self.parcels: list[int] = []
        self.failed: int | None = None

    def pack(self, number: int) -> None:
        """Pack one order, or be killed before or after."""
        if isinstance(number, _Message):
            raise NotYetError("pack was given a message", "the number of an order", "pack knows orders by their numbers.", "pack(message.number)")
        packed = self.kills.get(next(self.calls))
        if packed is not False:
            self.parcels.append(number)
        if packed is not None:
            self.failed = number
            raise Crash


class _Message:
    """A message as the exercise shows it: a number, and an ack."""

    def __init__(self, message: Any, table: _Table, early: list[int]) -> None:
        self.number: int = cast("ParcelOrdered", ParcelOrdered.schema.decode(message.body)).number
        self._message, self._table, self._early = message, table, early

    def ack(self) -> None:
        """Tell the broker that it may forget it."""
        if self._table.failed == self.number:
            self._early.append(self.number)
        self._message.ack()


@exercise(
    "03.1",
    "When to ack",
    points=2,
    hints=(
        "The ack says: forget this message. When may the broker forget it?",
        "If the worker is killed inside of pack, the message has to be un-acked still.",
        "Two lines: pack(message.number), and after it message.ack()",
    ),
)
def check_03_1(work: Callable[[Any, Callable[[int], None]], object]) -> str:
    """Kill the worker before and after its parcel is packed, start it again, and count the parcels."""
    for kills in KILLS:
        table, early, left = _shift(work, kills)
        if not table.parcels and not kills.get(1) and kills in KILLS[:1]:
            raise NothingHereError("work(queue, pack) packs nothing yet")
        _judge_shift(kills, table, early, left)
    return f"Tried: {ORDERS} orders, killed before and after packing, at the first order and at the last, up to three times; nothing was lost."


def _shift(work: Callable[[Any, Callable[[int], None]], object], kills: dict[int, bool]) -> tuple[_Table, list[int], int]:
    """Let workers come until one comes home; return what was packed, what was acked although pack did not return, and what is left in the queue."""
    bus, component = Bus("memory://", seed=0), Component(QUEUE)
    component.on(ParcelOrdered)(lambda event, context: None)  # noqa: ARG005 (a handler's signature)
    bus.declare(component)
    bus.publish_many(ParcelOrdered(number=number) for number in range(1, ORDERS + 1))
    table, early = _Table(kills), list[int]()
    for _ in range(len(kills) + 1):
        subscription = bus.subscribe(QUEUE, 100)
        queue = _Queue(subscription, table, early)
        table.failed = None
        try:
            work(queue, table.pack)
        except Crash:
            subscription.close()
            continue
        subscription.close()
        break
    left = bus.outstanding(QUEUE)
    bus.close()
    return table, early, left


class _Queue:
    def __init__(self, subscription: Any, table: _Table, early: list[int]) -> None:
        self._subscription, self._table, self._early = subscription, table, early

    def get(self) -> _Message | None:
        """Return the next message, or None."""
        message = self._subscription.get()
        return None if message is None else _Message(message, self._table, self._early)


def _judge_shift(kills: dict[int, bool], table: _Table, early: list[int], left: int) -> None:
    times = Counter(table.parcels)
    lost = [number for number in range(1, ORDERS + 1) if not times[number]]
    how = " and ".join(f"in call {call} of pack, {'after' if packed else 'before'} the parcel was packed" for call, packed in kills.items())
    killed = f"killed {how}" if kills else "not killed at all"
    if lost and not left:
        because = "You acked when you received, and the broker forgot it. The ack says that the work is done."
        if early:
            because = "It was acked although pack did not return: finally and except run then too, and a killed process could not run them at all."
        raise NotYetError(
            f"{killed}, and order {lost[0]} is neither packed nor in the queue", "each order packed", because, "which of your two lines comes first"
        )
    if left:
        seen = f"{left} orders in the queue when the worker has gone home, and {len(times)} of {ORDERS} packed"
        if left + len(times) == ORDERS:
            because = "The worker left its loop, and what waited was never taken. This happens with break or return, or when a kill is caught."
            raise NotYetError(seen, "an empty queue", because, "the loop: it ends when get gives None")
        because = "Without an ack the broker keeps a message for the next worker, who packs it again."
        raise NotYetError(seen, "an empty queue", because, "message.ack(), once for each message")
    again = sorted(number for number, count in times.items() if count > 1)
    if len(again) > sum(kills.values()):
        raise NotYetError(
            f"{killed}, and the orders {again} were packed twice",
            f"{sum(kills.values())} at most, the one that was packed and not yet acked",
            "This happens when acks wait for the end of the shift: whatever was not acked is packed again.",
            "the place of message.ack(): inside of the loop, right after the work",
        )


# Service time and round trip [s].
CASES: Final = ((0.050, 0.0), (0.010, 0.010), (0.004, 0.010), (0.002, 0.045), (0.020, 0.005))
MANY = 60  # orders


@exercise(
    "03.2",
    "As many as it takes",
    points=3,
    hints=(
        "The first ack leaves after takes seconds, and the message that it brings is there round_trip seconds later. What does the worker do until then?",
        "It needs enough in its bag for a whole round trip, and one in its hands.",
        "1 + round_trip / takes, rounded up: math.ceil",
    ),
)
def check_03_2(prefetch_for: Callable[[float, float], int]) -> str:
    """Let one worker work with *prefetch_for*, for other service times and round trips, and see whether it waits for the broker."""
    for takes, round_trip in CASES:
        call = f"prefetch_for({takes:g}, {round_trip:g})"
        given = answered(prefetch_for(takes, round_trip), call)
        if (said := whole(given)) is None or said < 1:
            because = "The order in the worker's hands counts as well." if said == 0 else "Messages are not divided."
            raise NotYetError(f"{given!r} from {call}", "a whole number of 1 or more", because, "what your function returns: round up with math.ceil")
        busy = _busy(said, takes, round_trip)
        if busy < 1:
            raise NotYetError(
                f"{said} from {call}, and the worker is busy for {100 * busy:.0f} % of the time",
                "100 %",
                f"It waits for the broker. {_why_too_few(said, takes, round_trip)}",
                "how many orders it packs during one round trip",
            )
        _is_the_smallest(said, call, takes, round_trip)
    return f"Tried: {len(CASES)} pairs, from no round trip at all to one of 22 orders. The worker never waits, and with one less it would."


def _why_too_few(said: int, takes: float, round_trip: float) -> str:
    if said == 1:
        return "Each ack has to reach the broker before the next message can come."
    if said > round_trip / takes:
        return "A part of an order is left of the round trip, and needs a whole message."
    return "The order in the worker's hands counts as well."


def _busy(prefetch: int, takes: float, round_trip: float) -> float:
    """Return for which share of the time one worker is busy [1]."""
    run = run_crew(workers=1, prefetch=prefetch, orders=MANY, takes=takes, round_trip=round_trip)
    return min(1.0, round(MANY * takes / run.over_at, 6))


def _is_the_smallest(said: int, call: str, takes: float, round_trip: float) -> None:
    if said == 1 or _busy(said - 1, takes, round_trip) < 1:
        return
    fewest = next(number for number in range(1, said) if _busy(number, takes, round_trip) == 1)
    held = [run_crew(prefetch=each, orders=MANY, takes=takes, round_trip=round_trip, kills={0: {1: "before packing"}}).came_back for each in (said, fewest)]
    raise NotYetError(
        f"{said} from {call}; when that worker is killed at its first order, {held[0]} orders come back late, and with the fewest {held[1]}",
        "the smallest that keeps it busy",
        "More than that makes the worker no faster. It takes orders away from others, and holds them when it dies.",
        "the worker lanes of the two prefetches",
    )


class _Bank:
    """Keeps the money, whoever is killed."""

    def __init__(self) -> None:
        self.booked: list[tuple[str, int]] = []

    def charge(self, order_id: str, pence: int) -> None:
        """Take the money, each time."""
        self.booked.append((order_id, pence))

    def knows(self, order_id: str) -> bool:
        """Tell whether the money for this order was taken."""
        return any(order_id == booked for booked, _ in self.booked)


class _DiedError(BaseException):
    """The whole process is gone."""


TOTALS: Final = (1250, 300, 1250, 99)
WANTED: Final = [(f"o-{number}", total) for number, total in enumerate(TOTALS, 1)]


@exercise(
    "03.3",
    "Charged once",
    points=5,
    hints=(
        "Two things can go wrong: an order that nobody charges, and one that is charged twice. Which ack leaves you with the second one alone?",
        "With the ack after the work an order can come a second time. Your own variables died with the process. Who still knows?",
        "In the handler: if not bank.knows(event.order_id): bank.charge(event.order_id, event.total)",
    ),
)
def check_03_3(build_payment: Callable[[Any], Component]) -> str:
    """Let orders come twice, and kill the process at each crash point of each order; then look at what the bank has booked."""
    _is_built(build_payment)
    _meets_duplicates(build_payment)
    for point, nth in itertools.product(Hooks.POINTS[:4], range(1, len(TOTALS) + 1)):
        bank = _killed_once(build_payment, point, nth)
        _compare_bookings(bank, f"killed at the point {point} of delivery {nth}", build_payment(bank).ack)
    return f"Killed {4 * len(TOTALS)} times, at {', '.join(Hooks.POINTS[:4])} of each order: each was charged once."


def _is_built(build_payment: Callable[[Any], Component]) -> None:
    payment = answered(build_payment(_Bank()), "build_payment(bank)")
    if not isinstance(payment, Component) or payment.name != "payment":
        raise NotYetError(f"build_payment gives back {payment!r}", 'Component("payment")', "This happens when the last line is missing.", "return payment")
    if OrderPlaced.schema.type not in payment.handlers:
        raise NotYetError(
            f"the component handles {', '.join(payment.handlers) or 'nothing'}", "order.placed", "Nobody would be charged.", "@payment.on(OrderPlaced)"
        )


def _orders() -> list[OrderPlaced]:
    return [OrderPlaced(order_id=order, cart_id="c-1", lines=(OrderLine(product_id="1001", quantity=1, price=total),), total=total) for order, total in WANTED]


def _meets_duplicates(build_payment: Callable[[Any], Component]) -> None:
    bank = _Bank()
    app = App(build_payment(bank), broker="memory://", clock="virtual", faults=Faults(duplicate=1.0))
    app.publish_many(_orders())
    app.run_until_idle()
    app.close()
    _charged_all(bank, "not killed")
    if sorted(bank.booked) != sorted(WANTED):
        often = Counter(order for order, _ in bank.booked).most_common(1)[0]
        raise NotYetError(
            f"each order was delivered twice, and {often[0]} was charged {often[1]} times",
            "once",
            "At least once means that your handler meets an order again. It has to find out what was done already.",
            "bank.knows(order_id), before you charge",
        )


def _killed_once(build_payment: Callable[[Any], Component], point: str, nth: int) -> _Bank:
    """Let the process die at the *nth* delivery that reaches *point*; a new process goes on with the same queue."""
    bank, reached = _Bank(), itertools.count(1)
    first, successor = (virtual(build_payment(bank)) for _ in range(2))
    successor.clock = first.clock  # who shares a broker in memory shares its time
    # A name of its own: the broker of the death before this one is there until its memory is collected.
    name = token_hex(8)
    for app in (first, successor):
        app.configure(broker=f"memory://exercise-03-3-{name}")

    def die(_component: str, _delivery: object) -> None:
        if next(reached) == nth:
            raise _DiedError

    first.hooks.on(point, die)
    first.publish_many(_orders())
    _ = successor.bus  # before the first one closes: a broker in memory lives as long as somebody is connected
    with suppress(_DiedError):
        first.run_until_idle()
    first.close()
    successor.run_until_idle()
    successor.close()
    return bank


def _charged_all(bank: _Bank, killed: str, because: str = "This happens when something else than the order is remembered, or nothing is charged.") -> None:
    booked = {order for order, _ in bank.booked}
    if missing := [order for order, _ in WANTED if order not in booked]:
        raise NotYetError(
            f"{killed}, {missing[0]} was never charged", "once", because, "the options of your Component, and where you remember what was charged"
        )
    if wrong := [pair for pair in bank.booked if pair not in WANTED]:
        raise NotYetError(f"{wrong[0][1]} pence for {wrong[0][0]}", "the order's total", "This happens with another field.", "event.total")


def _compare_bookings(bank: _Bank, killed: str, ack: str) -> None:
    early = "The broker was told to forget it before the work was done: at most once."
    _charged_all(bank, killed, early if ack == "before" else "This happens when a list or set outside of build_payment remembers the orders of another bank.")
    if len(bank.booked) > len(WANTED):
        often = Counter(order for order, _ in bank.booked).most_common(1)[0]
        raise NotYetError(
            f"{killed}, {often[0]} was charged {often[1]} times",
            "once",
            "What you remembered died with the process. The bank outlives it.",
            "bank.knows(order_id), in place of a list or set of your own",
        )
