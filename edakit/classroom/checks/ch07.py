"""The exercises of chapter 07, RabbitMQ, Kafka, and no broker at all.

What an answer looks like:

07.1 `consumer_for(key, partitions, consumers)` returns which consumer of a group, from 0, gets the events with this partition key. Which partition goes to
     which consumer is free, as long as each has one consumer and all consumers have as many as the others, or one more. `check_07_1(consumer_for)`
07.2 `carts_until(bus, last)` returns what was in each cart when the log had come to offset *last*, that event included, as `{cart: {product: pieces}}`;
     *bus* is a `Bus` on `sqlite://`. `check_07_2(carts_until)`
07.3 `choice` maps each text of `SITUATIONS` to "memory", "sqlite", "RabbitMQ" or "Kafka"; `because` is a text of three sentences or more. In a copy each
     stands there as `...`, in a line before the marks. `check_07_3(choice, because)`
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edakit.bus import Bus
from edakit.capabilities import BROKERS
from edakit.classroom.exercises import NothingHereError, NotYetError, answered, exercise, sentences, whole
from edakit.measuring.sharing import partition_of, share_out
from edakit.shop.app import build_shop
from edakit.shop.cart import Carts
from edakit.shop.events import AddItem, CartItemAdded, CartItemRemoved, CheckOut, CheckoutStarted, RemoveItem

__all__ = ["SITUATIONS", "check_07_1", "check_07_2", "check_07_3"]

GROUPS: Final = ((3, 3), (8, 3), (3, 2), (2, 5), (7, 1), (12, 8))  # partitions, consumers
KEYS: Final = tuple(f"c-{number}" for number in range(1, 200))


@exercise(
    "07.1",
    "Which consumer gets this cart",
    points=2,
    hints=(
        "The first line has found the partition. From there on the cart does not matter any more.",
        "With 8 partitions and 3 consumers somebody has 3 partitions and nobody has 4. Deal them out like cards.",
        "return partition % consumers",
    ),
)
def check_07_1(consumer_for: Callable[[str, int, int], int]) -> str:
    """Ask *consumer_for* for many carts, with other numbers of partitions and consumers."""
    for partitions, consumers in GROUPS:
        owners: dict[int, tuple[str, int]] = {}
        for key in KEYS:
            call = f"consumer_for({key!r}, {partitions}, {consumers})"
            said = answered(consumer_for(key, partitions, consumers), call)
            _is_consumer(said, consumers, call)
            partition = partition_of(key, partitions)
            first, owner = owners.setdefault(partition, (key, said))
            if owner != said:
                raise NotYetError(
                    f"carts {first} and {key} are both in partition {partition}, and go to consumers {owner} and {said}",
                    "one consumer for each partition",
                    "This happens when the cart is dealt out a second time, or when chance decides: a partition belongs to one consumer of a group.",
                    "the figure with the carts, the partitions and the consumers",
                )
        _is_fair(Counter(owner for _, owner in owners.values()), partitions, consumers)
    return f"Tried: {len(KEYS)} carts in {len(GROUPS)} groups, with more partitions than consumers and with fewer."


def _is_consumer(said: object, consumers: int, call: str) -> None:
    if (number := whole(said)) is None or not 0 <= number < consumers:
        because = "This happens when the number of the partition is taken for that of the consumer, or when counting begins at 1."
        if number is None:
            because = "This happens when a division gives a fraction, or a text is given back: // and % give whole numbers."
        raise NotYetError(f"{said!r} from {call}", f"a whole number from 0 to {consumers - 1}", because, "groups with more partitions than consumers")


def _is_fair(shares: Counter[int], partitions: int, consumers: int) -> None:
    most = -(-partitions // consumers)
    consumer, count = shares.most_common(1)[0]
    idle = consumers - len(shares)
    if count > most or len(shares) < min(partitions, consumers):
        because = "This happens when some consumers are left out: then they wait, and one has the work of several."
        if not idle:
            because = "This happens when all partitions that are left over go to one consumer: it has the work of several."
        raise NotYetError(
            f"with {partitions} partitions and {consumers} consumers, consumer {consumer} reads {count} partitions and {idle} read none",
            f"{most} at most for each, and nobody idle while there are partitions enough",
            because,
            "how many partitions each consumer has",
        )


@exercise(
    "07.2",
    "The carts of yesterday",
    points=3,
    seconds=60.0,
    hints=(
        "A replay gives offset, event and context, oldest first. Which events change a cart, and up to which one do you want them?",
        "for offset, event, _ in bus.replay(0, CartItemAdded, CartItemRemoved, CheckoutStarted): and then apply those whose offset is last or less.",
        "if offset <= last: carts.apply(event)",
    ),
)
def check_07_2(carts_until: Callable[[Bus, int], dict[str, dict[str, int]]]) -> str:
    """Let two shops sell on sqlite://, and ask for their carts at several offsets of the log."""
    asked = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, clicks in enumerate(_CLICKS):
            bus = Bus(f"sqlite:///{Path(folder, str(number)).as_posix()}.db")
            try:
                asked += _compare(carts_until, bus, _sell(bus, clicks))
            finally:
                bus.close()
    return f"Tried: two shops, {asked} offsets of their logs, and a command that the cart had refused."


_Clicks = tuple[AddItem | RemoveItem | CheckOut, ...]
_CLICKS: Final[tuple[_Clicks, ...]] = (
    (
        AddItem(cart_id="c-1", product_id="1001", quantity=2),
        AddItem(cart_id="c-2", product_id="1002"),
        AddItem(cart_id="c-1", product_id="no such product"),
        AddItem(cart_id="c-2", product_id="1003", quantity=5),
        RemoveItem(cart_id="c-2", product_id="1002"),
        CheckOut(cart_id="c-1"),
        AddItem(cart_id="c-1", product_id="1004"),
    ),
    (
        AddItem(cart_id="c-8", product_id="1001", quantity=2),
        AddItem(cart_id="c-7", product_id="1005", quantity=3),
        AddItem(cart_id="c-7", product_id="1005", quantity=1),
        RemoveItem(cart_id="c-8", product_id="1005"),
        RemoveItem(cart_id="c-7", product_id="1005"),
        AddItem(cart_id="c-7", product_id="1006"),
    ),
)
_OF_CARTS = (CartItemAdded, CartItemRemoved, CheckoutStarted)


def _sell(bus: Bus, clicks: _Clicks) -> dict[int, dict[str, dict[str, int]]]:
    """Let the cart handle *clicks*; return what is in each cart, by offset of the event after which that is so."""
    shop = build_shop(components=["cart"], takes={}, broker=f"sqlite:///{bus.address.name}", cart_max_attempts=1)
    for click in clicks:
        shop.send(click)
    shop.run_until_idle(on_error="retry")
    shop.close()
    carts, seen = Carts(), {}
    for offset, event, _ in bus.replay(0, *_OF_CARTS):
        carts.apply(event)
        seen[offset] = {cart: dict(lines) for cart, lines in carts.lines.items()}
    return seen


def _compare(carts_until: Callable[[Bus, int], dict[str, dict[str, int]]], bus: Bus, seen: Mapping[int, dict[str, dict[str, int]]]) -> int:
    whole = seen[max(seen)]
    for last, expected in sorted(seen.items(), reverse=True):
        call = f"carts_until(bus, {last})"
        said = answered(carts_until(bus, last), call)
        if not said:
            raise NothingHereError(f"{call} gives no cart back yet")
        if not isinstance(said, dict):
            raise NotYetError(f"{said!r} from {call}", "a dictionary", "This happens when the last line is changed.", "what Carts keeps in lines")
        if (found := _filled(said)) != (right := _filled(expected)):
            raise NotYetError(f"{found} from {call}", f"{right}", _why_carts(found, right, _filled(whole), bus, last), "the events of the log, one by one")
    return len(seen)


def _filled(carts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {cart: dict(lines) for cart, lines in sorted(carts.items()) if lines}


def _why_carts(found: object, right: object, whole: object, bus: Bus, last: int) -> str:
    def rebuilt(*types: type[CartItemAdded | CartItemRemoved | CheckoutStarted], begin: int = 0, until: float = last) -> object:
        return _filled(Carts.replay(event for offset, event, _ in bus.replay(begin, *types) if offset <= until).lines)

    asked: Counter[tuple[str, str]] = Counter()
    for offset, command, _ in bus.replay(0, AddItem):
        asked[command.cart_id, command.product_id] += command.quantity if offset <= last else 0
    others = (
        (rebuilt(*_OF_CARTS, until=last - 1), "when the event at the last offset is left out: it belongs to what had been published."),
        (rebuilt(*_OF_CARTS, begin=last, until=math.inf), "when the replay begins at offset last: begin at 0, where the log begins, and end with last."),
        (rebuilt(CartItemAdded), "when only what was put in is counted: taking out and checking out are events of the same log."),
        (rebuilt(CartItemAdded, CartItemRemoved), "when a check-out is passed over: it empties the cart."),
    )
    if reasons := [f"This happens {reason}" for state, reason in others if found == state]:
        return reasons[0]
    if found == whole and found != right:
        return "These are the carts at the end of the log. You were asked about an earlier moment: stop after offset last."
    if isinstance(found, dict) and any("no such product" in lines for lines in found.values()):
        return "This happens when commands are counted: AddItem asks, and the cart refused one. Only CartItemAdded has happened."
    return "This happens when events are applied in another order than the log's, or to another cart."


@dataclass(frozen=True)
class _Need:
    """What a situation asks of a broker; named as in `edakit.capabilities`."""

    capabilities: tuple[str, ...]
    hosts: bool = False


_NEEDS: Final = {
    "one program on a laptop; nothing may be installed; its tests must give the same numbers each time": _Need(("virtual_time",)),
    "eight packers on four computers; whoever is free takes the next order, and nobody stands idle": _Need(("processes", "shares_events"), hosts=True),
    "a new report every month, on another computer, over all events of the last year": _Need(("processes", "replay"), hosts=True),
}
SITUATIONS: Final = tuple(_NEEDS)
"""The situations of exercise 07.3."""

_SCHEMES: Final = {"memory": "memory", "sqlite": "sqlite", "RabbitMQ": "amqp", "Kafka": "kafka"}
SENTENCES = 3


@exercise(
    "07.3",
    "Three situations, three brokers",
    points=5,
    hints=(
        "Underline in each situation what it asks for: a clock, computers, who gets the next event, the past.",
        "Look for each of these words in the table of what brokers can do. A file is on one computer.",
        "Only one broker has virtual time; of those that serve several computers one shares events and the other keeps them.",
    ),
)
def check_07_3(choice: Mapping[str, str], because: str) -> str:
    """Compare each chosen broker with the table of capabilities."""
    if not isinstance(choice, Mapping):
        raise NotYetError(f"choice is {choice!r}", "a dictionary", "A list does not say which broker is for which text.", "{SITUATIONS[0]: …}")
    if set(choice) != set(SITUATIONS):
        found = sorted(map(str, choice))
        what = "This happens when a text is left out or changed. The key of a situation is its text, not its number."
        raise NotYetError(f"choice for {found!r}", "one broker for each text of SITUATIONS", what, "SITUATIONS")
    for situation, broker in choice.items():
        if broker not in _SCHEMES:
            raise NotYetError(f"{broker!r}", f"one of {', '.join(_SCHEMES)}", "This happens when it is written in other words.", "the names in the table")
        if reason := _why_not(broker, _NEEDS[situation]):
            raise NotYetError(f"{broker} for {situation!r}", "another broker", reason, "the table of what each broker can do")
    if (said := sentences(because)) < SENTENCES:
        what = "A choice without its reasons cannot be discussed, and will be made again next year. A sentence ends with a full stop."
        seen = f"{said} sentence{'' if said == 1 else 's'}"
        raise NotYetError(seen, f"{SENTENCES} or more", what, "what each situation asks for, and what the chosen broker cannot do")
    return "Each situation has a broker that can do what it asks for. Whether your reasons hold, another reader has to say."


def _why_not(broker: str, need: _Need) -> str:
    """Return why a *broker* does not do; "" where it does."""
    able = BROKERS[_SCHEMES[broker]]
    missing = [capability for capability in need.capabilities if not getattr(able, capability)]
    if "virtual_time" in missing:
        return f"{able.name} lives in real time, so two runs never have the same numbers. Nothing here asks for several processes."
    if "processes" in missing:
        return f"{able.name} lives in one process: other computers cannot reach it."
    if need.hosts and broker == "sqlite":
        return "sqlite:// is a file on one computer. A file that several computers write to over a network is damaged sooner or later."
    if "shares_events" in missing:
        idle = share_out(partitions=3, consumers=8).idle
        return f"Kafka is no faster RabbitMQ: it deals out partitions. With 3 of them {idle} of 8 packers stand idle, and one slow order holds up others."
    if "replay" in missing:
        return f"{able.name} forgets an event when it is acked. A report that comes later has nothing to read."
    return ""
