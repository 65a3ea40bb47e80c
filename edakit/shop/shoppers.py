"""Shoppers: a workload of journeys. Each arrival looks around, fills a cart, and in the end checks out."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from numbers import Integral
from random import Random
from types import MappingProxyType
from typing import Final, Protocol

from edakit.distributions import Constant, Distribution, Uniform
from edakit.errors import InvalidValueError
from edakit.events import Command, Event
from edakit.shop.catalogue import Catalogue
from edakit.shop.events import AddItem, CartViewed, CheckOut, ProductListViewed, ProductViewed, RemoveItem
from edakit.shop.synthetic import catalogue as synthetic_catalogue

__all__ = ["JOURNEY", "Shoppers"]

JOURNEY: Final[Mapping[str, int]] = MappingProxyType({"browse": 10, "detail": 10, "add": 2, "remove": 1, "view cart": 3, "check out": 1})
"""What one shopper does how often: 27 steps."""


class Arrivals(Protocol):
    """When shoppers come: any open workload of `edakit.measuring`."""

    @property
    def duration(self) -> float:
        """How long they come [s]."""
        ...

    def due(self, random: Random) -> Iterator[int]:
        """Yield when each of them comes, ascending [ns]."""
        ...


class Shoppers:
    """A workload: every arrival is a shopper who goes through *journey*, thinking between the steps.

    The steps come in a random order, but nobody takes out what is not in the cart, and checking out is the last. So there is an order for
    each arrival, as much later as the journey takes; with `journey={"add": 1, "check out": 1}, think=None` it comes at once.
    Looking at a page is an event, which the shopper's browser publishes; add, remove and check out are commands.

    Args:
        arrivals: When shoppers come.
        journey: How often a shopper does each of browse, detail, add, remove, view cart and check out.
        think: How long a shopper thinks between two steps; None for not at all.
        catalogue: What is bought; popular products more often.

    Raises:
        InvalidValueError: a step is unknown, a number negative, more is taken out than put in, or an argument is of another kind.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        *,
        journey: Mapping[str, int] = JOURNEY,
        think: Distribution | None = Uniform(1, 10),  # noqa: B008 (a frozen value)
        catalogue: Catalogue | None = None,
    ) -> None:
        if not isinstance(journey, Mapping):
            raise InvalidValueError("journey", journey, f"steps with how often each: {dict(JOURNEY)}")
        unknown = [step for step in journey if step not in JOURNEY]
        if unknown or any(not isinstance(count, Integral) or count < 0 for count in journey.values()) or not sum(journey.values()):
            raise InvalidValueError("journey", dict(journey), f"how often (0, 1, 2, …) a shopper does each of: {', '.join(JOURNEY)}")
        if journey.get("remove", 0) > journey.get("add", 0):
            raise InvalidValueError("journey", dict(journey), "no more 'remove' than 'add': what is not in the cart cannot be taken out")
        if not hasattr(arrivals, "due"):
            raise InvalidValueError("arrivals", arrivals, "when shoppers come, such as Poisson(rate=200, duration=60)")
        if not (think is None or isinstance(think, Distribution)):
            raise InvalidValueError("think", think, "a law of times, such as Uniform(1, 10), or None")
        self.catalogue = catalogue or synthetic_catalogue()
        if journey.get("add", 0) > len(self.catalogue.products):
            raise InvalidValueError("journey", dict(journey), f"at most {len(self.catalogue.products)} times 'add', as many as there are products")
        if journey.get("check out", 0) > 1:
            raise InvalidValueError("journey", dict(journey), "one 'check out' at most: it ends the journey")
        self.arrivals, self.journey, self.think = arrivals, dict(journey), think or Constant(0)

    @property
    def duration(self) -> float:
        """How long shoppers come [s]; the last ones go on for as long as their journeys take."""
        return self.arrivals.duration

    def messages(self, random: Random) -> Iterator[tuple[int, Event | Command]]:
        """Yield what all shoppers do, each with its due time [ns], ascending; only the shoppers inside the shop are held in memory."""
        inside: list[_Step] = []
        for number, arrival in enumerate(self.arrivals.due(random), 1):
            yield from _until(arrival, inside)
            # A source of randomness for each: what one shopper does depends on no other.
            steps = self._steps(f"c-{number}", arrival, Random(random.getrandbits(64)))
            due, message = next(steps)
            heapq.heappush(inside, (due, number, message, steps))
        yield from _until(None, inside)

    def _steps(self, cart_id: str, due: int, random: Random) -> Iterator[tuple[int, Event | Command]]:
        cart: list[str] = []
        for number, step in enumerate(_order(self.journey, random)):
            due += self.think.draw(random) if number else 0
            yield due, self._message(step, cart_id, cart, random)

    def _message(self, step: str, cart_id: str, cart: list[str], random: Random) -> Event | Command:
        match step:
            case "browse":
                return ProductListViewed(cart_id=cart_id)
            case "detail":
                return ProductViewed(cart_id=cart_id, product_id=self.catalogue.pick(random).product_id)
            case "add":
                cart.append(self._another(cart, random))
                return AddItem(cart_id=cart_id, product_id=cart[-1])
            case "remove":
                return RemoveItem(cart_id=cart_id, product_id=cart.pop(int(random.random() * len(cart))))
            case "view cart":
                return CartViewed(cart_id=cart_id)
        return CheckOut(cart_id=cart_id)

    def _another(self, cart: list[str], random: Random) -> str:
        """Pick a product that is not in the cart yet, so that each 'add' is one more line."""
        while (product := self.catalogue.pick(random).product_id) in cart:
            continue
        return product


# When a shopper's next step is due [ns], the shopper's number, the step, and the steps after it.
_Step = tuple[int, int, Event | Command, Iterator[tuple[int, Event | Command]]]


def _until(time: int | None, inside: list[_Step]) -> Iterator[tuple[int, Event | Command]]:
    """Yield the steps that are due before *time* [ns], or all; *inside* is a heap."""
    while inside and (time is None or inside[0][0] < time):
        due, number, message, steps = inside[0]
        yield due, message
        try:
            due, message = next(steps)
        except StopIteration:
            heapq.heappop(inside)
        else:
            heapq.heapreplace(inside, (due, number, message, steps))


def _order(journey: Mapping[str, int], random: Random) -> list[str]:
    """Return the steps of one journey: in a random order, every 'remove' after an 'add' of its own, 'check out' last."""
    steps = [step for step, count in journey.items() for _ in range(count) if step != "check out"]
    steps.sort(key=lambda _: random.random())
    put_in = 0
    for place, step in enumerate(steps):
        if step == "remove" and put_in == 0:
            later = steps.index("add", place)
            steps[place], steps[later] = "add", "remove"
        put_in += {"add": 1, "remove": -1}.get(steps[place], 0)
    return steps + ["check out"] * journey.get("check out", 0)
