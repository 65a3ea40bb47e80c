from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from edakit import Constant
from edakit.errors import InvalidValueError
from edakit.events import Command, type_name
from edakit.shop import JOURNEY, AddItem, Catalogue, CheckOut, Product, RemoveItem, Shoppers, build_shop


class Every:
    """Shoppers that come at equal distances."""

    def __init__(self, seconds, number):
        self.seconds, self.number, self.duration = seconds, number, seconds * number

    def due(self, random):
        return (round(n * self.seconds * 1e9) for n in range(self.number))


def test_what_shoppers_do_comes_in_the_order_of_time():
    times = [due for due, _ in Shoppers(Every(0.5, 100)).messages(Random(1))]

    assert len(times) == 100 * sum(JOURNEY.values()) == 2_700
    assert times == sorted(times)


def test_every_journey_has_the_steps_of_the_course():
    counts = Counter(type_name(message) for _, message in Shoppers(Every(1, 50)).messages(Random(1)))

    assert counts == {"product.list.viewed": 500, "product.viewed": 500, "add.item": 100, "remove.item": 50, "cart.viewed": 150, "check.out": 50}


def test_nobody_takes_out_what_is_not_in_the_cart_and_checking_out_comes_last():
    journey = {"browse": 1, "add": 4, "remove": 4, "check out": 1}
    carts, ended = {}, set()
    for _, message in Shoppers(Every(0.1, 200), journey=journey).messages(Random(2)):
        cart = carts.setdefault(message.cart_id, [])
        assert message.cart_id not in ended
        match message:
            case AddItem():
                assert message.product_id not in cart
                cart.append(message.product_id)
            case RemoveItem():
                cart.remove(message.product_id)
            case CheckOut():
                ended.add(message.cart_id)

    assert len(ended) == 200
    assert all(cart == [] for cart in carts.values())


def test_shoppers_think_one_to_ten_seconds_between_two_steps():
    times = [due / 1e9 for due, _ in Shoppers(Every(1, 1)).messages(Random(3))]
    thoughts = [later - earlier for earlier, later in pairwise(times)]

    assert len(thoughts) == 26
    assert all(1 <= thought <= 10 for thought in thoughts)


def test_without_thinking_a_journey_happens_at_once():
    found = list(Shoppers(Every(1, 2), journey={"add": 1, "check out": 1}, think=None).messages(Random(3)))

    assert [(due, type_name(message), message.cart_id) for due, message in found] == [
        (0, "add.item", "c-1"),
        (0, "check.out", "c-1"),
        (1_000_000_000, "add.item", "c-2"),
        (1_000_000_000, "check.out", "c-2"),
    ]


def test_the_same_seed_gives_the_same_shoppers():
    def journeys(seed):
        return list(Shoppers(Every(0.2, 30)).messages(Random(seed)))

    assert journeys(1) == journeys(1)
    assert journeys(1) != journeys(2)


def test_what_one_shopper_does_depends_on_no_other():
    def last(arrivals):
        return [(due - 3_000_000_000, message) for due, message in Shoppers(arrivals).messages(Random(1)) if message.cart_id == "c-4"]

    assert last(Every(1, 4)) == last(Every(1, 9))


def test_shoppers_are_made_as_they_come():
    class Endless(Every):
        def due(self, random):
            yield from (n * 1_000_000_000 for n in range(10**12))

    found = Shoppers(Endless(1, 1), think=Constant(1)).messages(Random(1))

    assert [next(found)[0] for _ in range(3)] == [0, 1_000_000_000, 1_000_000_000]


def test_every_order_that_shoppers_check_out_is_confirmed():
    shop = build_shop(clock="virtual")
    for due, message in Shoppers(Every(0.05, 60)).messages(Random(5)):
        shop.call_at(due, lambda message=message, due=due: (shop.send if isinstance(message, Command) else shop.publish)(message, due_at=due))
    shop.run_until_idle()

    assert shop.state.orders.counts() == {"placed": 0, "confirmed": 60, "cancelled": 0, "returned": 0}
    assert shop.state.cart.lines == {}


@pytest.mark.parametrize(
    ("journey", "message"),
    [
        ({}, "how often"),
        ({"browse": 0}, "how often"),
        ({"steal": 1}, "how often .* browse, detail"),
        ({"browse": -1}, "how often"),
        ({"browse": 1.5}, "how often"),
        ({"remove": 1}, "no more 'remove' than 'add'"),
        ({"check out": 2}, "one 'check out' at most"),
        ({"add": 3}, "at most 2 times 'add'"),
    ],
)
def test_a_journey_that_makes_no_sense_is_refused(journey, message):
    two = Catalogue([Product(product_id="1", name="Mug", price=1), Product(product_id="2", name="Cup", price=1)])

    with pytest.raises(InvalidValueError, match=message):
        Shoppers(Every(1, 1), journey=journey, catalogue=two)
