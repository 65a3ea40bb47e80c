"""CHECKS R12: whatever shoppers do and whatever goes wrong, the shop ends where a model of it ends, and where the replay of its events ends."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from edakit import Component, CrashPoint, Exponential, Faults, Inbox
from edakit.shop import (
    COMPONENTS,
    AddItem,
    CartItemAdded,
    CartItemRemoved,
    Catalogue,
    CheckOut,
    CheckoutStarted,
    OrderCancelled,
    OrderConfirmed,
    OrderReturned,
    Product,
    ProductPriceChanged,
    RemoveItem,
    build_shop,
)
from edakit.shop.cart import Carts
from tests.chaos.record import FULL, tell

CARTS, PRODUCTS, PIECES = ("ann", "ben", "cem"), ("1001", "1002"), 12
carts, products = st.sampled_from(CARTS), st.sampled_from(PRODUCTS)
seen: Counter[str] = Counter()


def auditor():
    """Return a component that keeps what was decided about carts and orders, and the events."""
    component, kept = Component("auditor", order="per key", inbox=Inbox()), []

    @component.on(CartItemAdded, CartItemRemoved, CheckoutStarted, OrderConfirmed, OrderCancelled)
    def keep(event, context):
        kept.append(event)

    return component, kept


class ShopMachine(RuleBasedStateMachine):
    """Shoppers send commands; workers die, events come twice and late; the model is a dictionary."""

    @initialize(
        seed=st.integers(0, 2**16),
        crash=st.sampled_from([0.0, 0.1, 0.3]),
        trouble=st.sampled_from([0.0, 0.2, 0.5]),
        declined=st.sampled_from([0.0, 0.4]),
        prefetch=st.sampled_from([1, 3, 100]),
    )
    def open(self, seed, crash, trouble, declined, prefetch):
        crashes = [CrashPoint(name, point, nth=0, share=crash) for name in (*COMPONENTS, "auditor") for point in ("started", "handled")]
        faults = Faults(*crashes, restart_after=0.5, duplicate=trouble, delayed=trouble, delay=Exponential(0.5) if trouble else None)
        catalogue = Catalogue(Product(product_id=product, name="Mug", price=100) for product in PRODUCTS)
        options = {f"{name}_prefetch": prefetch for name in ("cart", "orders", "stock")}
        self.shop = build_shop(
            clock="virtual", seed=seed, faults=faults, catalogue=catalogue, stock=PIECES, payment_failure=declined, cart_concurrency=2, **options
        )
        component, self.kept = auditor()
        self.shop.add(component)
        self.carts, self.ordered, self.returned = defaultdict(dict), {}, {}
        self.weaken(self.shop.components)

    def weaken(self, components):
        """Switch off nothing; the tests of this check switch off one mechanism each."""

    @rule(cart=carts, product=products, quantity=st.integers(1, 3))
    def add(self, cart, product, quantity):
        self.shop.send(AddItem(cart_id=cart, product_id=product, quantity=quantity))
        self.carts[cart][product] = self.carts[cart].get(product, 0) + quantity

    @rule(cart=carts, product=products)
    def remove(self, cart, product):
        self.shop.send(RemoveItem(cart_id=cart, product_id=product))
        self.carts[cart].pop(product, None)

    @rule(cart=carts)
    def check_out(self, cart):
        self.shop.send(CheckOut(cart_id=cart))
        if self.carts[cart]:
            number = 1 + sum(order.startswith(f"o-{cart}-") for order in self.ordered)
            self.ordered[f"o-{cart}-{number}"] = self.carts.pop(cart)

    @rule(cart=carts, product=products, quantity=st.integers(1, 3), other=carts)
    def order(self, cart, product, quantity, other):
        self.add(cart, product, quantity)
        self.add(other, product, 1)
        self.check_out(cart)

    @rule(product=products, price=st.integers(0, 500))
    def change_price(self, product, price):
        self.shop.publish(ProductPriceChanged(product_id=product, price=price))

    @rule(seconds=st.floats(0.001, 3))
    def wait(self, seconds):
        self.shop.advance(seconds, on_error="retry")

    @precondition(lambda self: self.confirmed())
    @rule(data=st.data(), copies=st.integers(1, 2))
    def give_back(self, data, copies):
        order = data.draw(st.sampled_from(self.confirmed()))
        self.returned[order.order_id] = order.total
        for _ in range(copies):
            self.shop.publish(OrderReturned(order_id=order.order_id, lines=order.lines, amount=order.total))

    def confirmed(self):
        return sorted((order for order in self.shop.state.orders.orders.values() if order.status == "confirmed"), key=lambda order: order.order_id)

    def teardown(self):
        if not hasattr(self, "shop"):
            return
        self.shop.run_until_idle(on_error="retry")
        self.check_carts()
        self.check_orders()
        self.check_replay()
        assert self.shop.dead_letters() == []
        seen.update(row.outcome for row in self.shop.trace.deliveries)
        seen.update(order.status for order in self.shop.state.orders.orders.values())
        seen["runs"] += 1

    def check_carts(self):
        state, expected = self.shop.state, {cart: lines for cart, lines in self.carts.items() if lines}
        for found in (state.cart.lines, state.cart_view.carts.lines):
            assert {cart: lines for cart, lines in found.items() if lines} == expected
        assert {cart: state.badge.pieces[cart] for cart in CARTS} == {cart: sum(self.carts[cart].values()) for cart in CARTS}

    def check_orders(self):
        state = self.shop.state
        orders = state.orders.orders
        assert {order.order_id: {line.product_id: line.quantity for line in order.lines} for order in orders.values()} == self.ordered
        assert {order.order_id for order in orders.values() if order.status == "returned"} == set(self.returned) == set(state.payment.refunded)
        assert all(order.status != "placed" for order in orders.values())
        paid = {order.order_id: order.total for order in orders.values() if order.status in {"confirmed", "returned"}}
        assert state.payment.charged == paid
        assert state.payment.refunded == self.returned
        kept = Counter()
        for order in self.confirmed():
            kept.update({line.product_id: line.quantity for line in order.lines})
        assert {product: state.stock.left(product) for product in PRODUCTS} == {product: PIECES - kept[product] for product in PRODUCTS}

    def check_replay(self):
        rebuilt = Carts.replay(self.kept)
        live = self.shop.state.cart
        assert (rebuilt.lines, rebuilt.checkouts) == (live.lines, +live.checkouts)
        ends = {event.order_id: isinstance(event, OrderConfirmed) for event in self.kept if isinstance(event, OrderConfirmed | OrderCancelled)}
        assert ends == {order.order_id: order.status != "cancelled" for order in self.shop.state.orders.orders.values()}


def test_r12_cart_and_order_agree_with_the_model_and_with_the_replay_of_their_events():
    sizes = settings(max_examples=2_000 if FULL else 200, stateful_step_count=50, derandomize=True, deadline=None, database=None)
    seen.clear()

    run_state_machine_as_test(ShopMachine, settings=sizes)

    orders = {f"orders_{end}": seen[end] for end in ("confirmed", "cancelled", "returned")}
    tell("R12 virtual", attempt=seen["runs"], duplicated_delivery=seen["duplicate"], crashed=seen["crashed"], counter_examples=0, **orders)
    assert seen["runs"] >= sizes.max_examples
    assert min(seen[name] for name in ("confirmed", "cancelled", "returned", "crashed", "duplicate")) > 50, "the check met what it is about"


def no_inbox_of_the_cart(machine, components):
    components["cart"].inbox = None


def no_inbox_of_the_auditor(machine, components):
    components["auditor"].inbox = None


def no_order_of_the_carts_commands(machine, components):
    components["cart"].order = None


def no_retry_of_what_a_crash_interrupts(machine, components):
    components["orders"].ack = "before"


def no_memory_of_what_was_paid_back(machine, components):
    payment = machine.shop.state.payment
    payment.refund = lambda order_id, amount: payment.refunded.update({order_id: payment.refunded.get(order_id, 0) + amount}) or amount


@pytest.mark.parametrize(
    "weaken",
    [
        no_inbox_of_the_cart,
        no_inbox_of_the_auditor,
        no_order_of_the_carts_commands,
        no_retry_of_what_a_crash_interrupts,
        no_memory_of_what_was_paid_back,
    ],
)
def test_the_check_finds_the_shop_that_lacks_one_of_its_mechanisms(weaken):
    class Weakened(ShopMachine):
        pass

    Weakened.weaken = weaken
    sizes = settings(
        max_examples=200, stateful_step_count=50, derandomize=True, deadline=None, database=None, phases=[Phase.generate], report_multiple_bugs=False
    )

    with pytest.raises(AssertionError) as found:
        run_state_machine_as_test(Weakened, settings=sizes)
    assert found.traceback[-1].name in {"check_carts", "check_orders", "check_replay"}
