from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from edakit import App, Command, Component, Event
from edakit.errors import EventTypeError, EventValueError, InvalidValueError, MessageTooLargeError
from edakit.events import type_name
from tests.shop_language import AddItem, CartItemAdded, recorder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CartItemAdded", "cart.item.added"),
        ("OrderPlaced", "order.placed"),
        ("HTTPRequestSeen", "http.request.seen"),
        ("Paid", "paid"),
        ("V2Order", "v.2.order"),
    ],
)
def test_the_type_name_comes_from_the_class_name(name, expected):
    cls = type(Event)(name, (Event,), {"__module__": __name__})

    assert type_name(cls) == expected


def test_a_type_name_can_be_given():
    class Renamed(Event, type="cart.item.added"):
        pass

    assert type_name(Renamed) == type_name(CartItemAdded) == "cart.item.added"


def test_a_type_name_that_is_no_routing_key_is_refused():
    with pytest.raises(EventTypeError, match="'Cart Item' is no event type"):

        class Wrong(Event, type="Cart Item"):
            pass


def test_a_key_that_names_no_field_is_refused():
    with pytest.raises(EventTypeError, match="key='cart' names no field"):

        class Wrong(Event, key="cart"):
            cart_id: str


@pytest.mark.parametrize("field", ["key", "schema"])
def test_a_field_that_would_hide_what_every_event_class_has_is_refused(field):
    with pytest.raises(EventTypeError, match=f"Pressed: {field} is what every event class has"):
        type(Event)("Pressed", (Event,), {"__module__": __name__, "__annotations__": {field: str}})


def test_events_are_frozen_and_their_fields_are_given_by_name():
    event = CartItemAdded(cart_id="c-1")

    with pytest.raises(AttributeError):
        event.cart_id = "c-2"
    with pytest.raises(TypeError):
        CartItemAdded("c-1")


@pytest.mark.parametrize("annotation", [Any, threading.Thread, list[Any], dict[str, object], "Unknown"])
def test_a_field_type_that_cannot_travel_is_refused_when_the_class_is_first_used(annotation):
    cls = type(Event)("Strange", (Event,), {"__module__": __name__, "__annotations__": {"field": annotation}})

    with pytest.raises(EventTypeError, match="Strange"):
        App().publish(cls(field=None))


@pytest.mark.parametrize(
    ("field", "value"), [("quantity", "x"), ("quantity", 1.5), ("quantity", True), ("cart_id", None), ("cart_id", 7), ("quantity", object())]
)
def test_a_wrong_value_is_refused_when_it_is_published(field, value):
    app = App(recorder("mail")[0])

    with pytest.raises(EventValueError, match="CartItemAdded was not sent"):
        app.publish(CartItemAdded(**{"cart_id": "c-1", field: value}))
    assert app.backlog("mail") == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused_also_where_null_is_allowed(value):
    class Measured(Event):
        share: float | None = None
        shares: list[float | None] = []

    with pytest.raises(EventValueError):
        App().publish(Measured(share=value))
    with pytest.raises(EventValueError):
        App().publish(Measured(shares=[1.0, value]))


def test_a_value_that_would_arrive_as_another_is_refused():
    class Tagged(Event):
        tags: list[str]

    with pytest.raises(EventValueError, match="would arrive as"):
        App().publish(Tagged(tags=("a", "b")))


def test_an_event_larger_than_the_limit_is_refused_with_both_sizes():
    with pytest.raises(MessageTooLargeError, match=r"its body has 300,0\d\d bytes, at most 262,144"):
        App().publish(CartItemAdded(cart_id="x" * 300_000))


def test_a_command_is_not_published_and_an_event_is_not_sent():
    app = App()

    with pytest.raises(InvalidValueError, match=r"send\(…\)"):
        app.publish(AddItem(cart_id="c-1"))
    with pytest.raises(InvalidValueError, match=r"publish\(…\)"):
        app.send(CartItemAdded(cart_id="c-1"))


def test_running_a_cell_again_replaces_an_event_class_for_handlers_that_know_the_old_one():
    component, seen = Component("mail"), []

    def cell(**fields):
        return type(Event)("Announced", (Event,), {"__module__": __name__, "__qualname__": "Announced", "__annotations__": fields})

    @component.on(cell(text="str"))
    def note(event, context):
        seen.append(event)

    newer = cell(text="str", urgent="bool")
    app = App(component)
    app.publish(newer(text="sale", urgent=True))
    app.run_until_idle()

    assert seen == [newer(text="sale", urgent=True)]


def test_a_context_tells_id_cause_and_correlation_along_a_chain():
    class First(Command):
        pass

    class Second(Event):
        pass

    seen = []
    one, two = Component("one"), Component("two")
    one.on(First)(lambda event, context: (seen.append(context), context.publish(Second(), key="k")))
    two.on(Second)(lambda event, context: seen.append(context))
    app = App(one, two, clock="virtual", name="desk")
    receipt = app.send(First())
    app.run_until_idle()
    first, second = seen

    assert first.id == receipt.id
    assert (first.source, first.causation_id, first.correlation_id) == ("desk", None, first.id)
    assert (second.source, second.causation_id, second.correlation_id) == ("one", first.id, first.id)
    assert (second.type, second.time, second.partition_key, second.attempt) == ("second", "1970-01-01T00:00:00.000000000Z", "k", 1)
    assert second.traceparent == f"00-{first.id}{first.id}-{second.id}-01"
