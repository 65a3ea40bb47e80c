from __future__ import annotations

from collections import Counter

import pytest

from edakit import Command, Component, Event
from edakit.classroom.checks.ch00 import ANSWERS, MESSAGES, check_00_1, check_00_2, check_00_3
from edakit.shop.events import AddItem, CartItemAdded

KINDS = dict(zip(MESSAGES, ANSWERS, strict=True))


def gifts(condition=lambda quantity: quantity >= 3, collect=lambda event: event.cart_id, listen=CartItemAdded, prepare=lambda wrap: None):
    """Return an answer to 00.1, right unless told otherwise."""

    def build_gifts(parcels):
        component = Component("gifts")

        @component.on(listen)
        def wrap(event, context):
            if condition(event.quantity):
                parcels.append(collect(event))

        prepare(wrap)
        return component

    return build_gifts


def test_00_1_a_component_that_collects_three_or_more_passes():
    assert check_00_1(gifts()).passed


def by_hand(wrap):
    wrap(CartItemAdded(cart_id="c-9", product_id="1001", quantity=3), None)


def no_handler(parcels):
    return Component("gifts")


def totals(parcels):
    """Add up what a cart holds, which was not asked for."""
    component, pieces = Component("gifts"), Counter()

    @component.on(CartItemAdded)
    def wrap(event, context):
        pieces[event.cart_id] += event.quantity
        if pieces[event.cart_id] >= 3:
            parcels.append(event.cart_id)

    return component


def once_a_cart(parcels):
    component = Component("gifts")

    @component.on(CartItemAdded)
    def wrap(event, context):
        if event.quantity >= 3 and event.cart_id not in parcels:
            parcels.append(event.cart_id)

    return component


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (totals, "the pieces of a cart are added up"),
        (once_a_cart, "a cart is collected once"),
        (
            gifts(prepare=by_hand),
            "Seen: 1 parcel before any event. Expected: none. gifts ran once although nothing was published: your cell called the function.",
        ),
        (gifts(condition=lambda quantity: quantity > 3), "“3 or more” includes 3"),
        (gifts(condition=lambda quantity: True), "every event is collected"),
        (gifts(listen=AddItem), "It handles add.item, and that was not published. Look at the line over your function"),
        (gifts(condition=lambda quantity: quantity > 100), "Your handler ran, and appended nothing to parcels."),
        (gifts(collect=lambda event: event.quantity), "something else than the cart's id"),
        (lambda parcels: 3, "the last line is missing"),
    ],
)
def test_00_1_a_wrong_answer_is_told_why(answer, said):
    verdict = check_00_1(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


@pytest.mark.parametrize("stub", [lambda parcels: ..., no_handler, ...])
def test_00_1_a_stub_is_told_what_is_missing(stub):
    assert repr(check_00_1(stub)).startswith("nothing here yet")


def test_00_1_a_function_that_nothing_registers_is_told_what_makes_it_a_handler():
    assert "a function becomes one by the line @gifts.on(CartItemAdded) over it" in repr(check_00_1(no_handler))


def test_00_1_a_class_of_the_notebooks_own_is_the_same_event():
    class CartItemAdded(Event):
        """A product was put into a cart."""

        cart_id: str
        quantity: int

    assert check_00_1(gifts(listen=CartItemAdded)).passed


def test_00_1_a_typo_in_the_handler_is_shown_with_its_line():
    def build_gifts(parcels):
        component = Component("gifts")
        component.on(CartItemAdded)(lambda event, context: parcels.append(event.card_id))
        return component

    verdict = check_00_1(build_gifts)

    assert "AttributeError: 'CartItemAdded' object has no attribute 'card_id'" in repr(verdict)
    assert "parcels.append(event.card_id))`" in repr(verdict)


def test_00_2_the_late_one_gets_the_rest_and_the_paused_one_all():
    assert check_00_2(lambda k, n: (n - k, n)).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda k, n: (n, n), "Paused, its queue was collecting. Before subscribing there was no queue."),
        (lambda k, n: (n - k, n - k), "Both cannot be late"),
        (lambda k, n: (n, n - k), "They are exchanged"),
        (lambda k, n: (k, n), "these are the ones that it did not get"),
        (lambda k, n: (n - k + 1, n), "click k + 1 is the first that it gets"),
        (lambda k, n: (0, n), "Seen: (0, 5) from counts(2, 5). Expected: (3, 5), as in a run. The first number is that of the late one."),
        (lambda k, n: (0, n), "Look at what late got in the run of seven orders."),
        (lambda k, n: (n - k, 0), "The second number is that of the mail. While it is paused its queue goes on collecting"),
        (lambda k, n: (n - k, k), "Look at the timeline of the paused mail."),
        (lambda k, n: n, "two numbers, late and mail"),
    ],
)
def test_00_2_a_wrong_answer_is_told_why(answer, said):
    verdict = check_00_2(answer)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


@pytest.mark.parametrize("stub", [lambda k, n: None, lambda k, n: (..., ...)])
def test_00_2_a_stub_is_told_what_is_missing(stub):
    assert "counts(2, 5) gives nothing back yet" in repr(check_00_2(stub))


class ShipOrder(Command):
    """Please ship an order."""

    order_id: str


class ShipAnything(Command):
    """A command that does not say which order."""


class ShipPlain:
    """A class that is no message."""

    order_id: str


class OrderShouldBeShipped(Event):
    """What the exercise begins with."""

    order_id: str


class OrderShipped(Command):
    """A command with the name of an event."""

    order_id: str


def test_00_3_six_kinds_and_a_command_pass():
    verdict = check_00_3(KINDS, ShipOrder)

    assert verdict.passed
    assert "ShipOrder went to its one handler: 1 parcel." in repr(verdict)


@pytest.mark.parametrize(
    ("kinds", "renamed", "said"),
    [
        (KINDS, OrderShouldBeShipped, "With two listeners this parcel ships twice. A request to one component is a command."),
        (KINDS, OrderShipped, "The name of an event tells what happened, that of a command what to do."),
        (KINDS, ShipAnything, "Seen: ShipAnything with the fields: none. Expected: order_id."),
        (KINDS, "ShipOrder", "a class that you have written"),
        (KINDS, ShipPlain, "ShipPlain is a class of plain Python. Expected: an Event or a Command."),
        (list(ANSWERS), ShipOrder, "Seen: kinds is a list. Expected: a dictionary."),
        ({f"{message}!": answer for message, answer in KINDS.items()}, ShipOrder, "Seen: no entry for 'put two mugs into my cart'."),
        (KINDS | {MESSAGES[0]: "command"}, ShipOrder, "is 'command'. Expected: a pair"),
        (KINDS | {MESSAGES[0]: ("Command", "one")}, ShipOrder, 'a pair: one of "event", "command", "query", then one of "one", "any"'),
        (KINDS | {MESSAGES[0]: ("event", "any")}, ShipOrder, "This asks for something to be done"),
        (KINDS | {MESSAGES[1]: ("command", "one")}, ShipOrder, "This has happened already"),
        (KINDS | {MESSAGES[2]: ("command", "one")}, ShipOrder, "This changes nothing"),
        (KINDS | {MESSAGES[3]: ("event", "one")}, ShipOrder, "What happened may interest any number"),
        (KINDS | {MESSAGES[5]: ("event", "any")}, ShipOrder, "whatever its name sounds like"),
    ],
)
def test_00_3_a_wrong_answer_is_told_why(kinds, renamed, said):
    verdict = check_00_3(kinds, renamed)

    assert verdict.kind == "not yet"
    assert said in repr(verdict)


@pytest.mark.parametrize(("kinds", "renamed"), [(..., ...), (dict.fromkeys(MESSAGES, ...), ShipOrder), ({}, ShipOrder), (KINDS, ...)])
def test_00_3_a_stub_is_told_what_is_missing(kinds, renamed):
    assert repr(check_00_3(kinds, renamed)).startswith("nothing here yet")


def test_the_points_of_the_chapter_add_up_to_ten():
    assert sum(check.exercise.points for check in (check_00_1, check_00_2, check_00_3)) == 10
