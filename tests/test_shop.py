from __future__ import annotations

import pytest

from edakit import App, Constant, CrashPoint, Exponential, Faults
from edakit.errors import CapabilityError, EventValueError, InvalidValueError
from edakit.events import Command, type_name
from edakit.shop import (
    COMPONENTS,
    AddItem,
    CartItemAdded,
    CartViewed,
    Catalogue,
    CheckOut,
    CheckoutStarted,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderReturned,
    PaymentAuthorized,
    PaymentFailed,
    PaymentRefunded,
    Product,
    ProductListViewed,
    ProductPriceChanged,
    ProductViewed,
    RemoveItem,
    StockRejected,
    StockReleased,
    StockReserved,
    build_shop,
    events,
    state_hash,
)
from edakit.shop.cart import Carts
from edakit.shop.errors import ShopOptionError, UnknownProductError
from edakit.shop.stock import Stock
from edakit.shop.views import BestSellers


def small_shop(**options):
    products = [Product(product_id="1001", name="Mug", price=250), Product(product_id="1002", name="Lantern", price=1_000)]
    return build_shop(clock="virtual", catalogue=Catalogue(products), **options)


def shopped(shop, *messages):
    """Send and publish *messages* a second apart, let everything come to its end, and return the shop."""
    for message in messages:
        (shop.send if isinstance(message, Command) else shop.publish)(message)
        shop.advance(1)
    shop.run_until_idle()
    return shop


def names(shop):
    return [row.name for row in shop.trace.publications]


ADD_TWO_MUGS = AddItem(cart_id="c-1", product_id="1001", quantity=2)
CHECK_OUT = CheckOut(cart_id="c-1")


def test_the_shop_has_three_commands_and_the_events_of_the_course():
    found = [cls for cls in vars(events).values() if isinstance(cls, type) and hasattr(cls, "schema") and cls.__module__ == events.__name__]

    assert sorted(type_name(cls) for cls in found if issubclass(cls, Command)) == ["add.item", "check.out", "remove.item"]
    assert sum(not issubclass(cls, Command) for cls in found) == 17


def test_a_click_adds_to_the_cart_and_badge_best_sellers_and_mail_react():
    shop = shopped(small_shop(components=("cart", "badge", "best_sellers", "mail")), ADD_TWO_MUGS)

    assert shop.state.cart.of("c-1") == {"1001": 2}
    assert shop.state.badge.pieces["c-1"] == 2
    assert shop.state.best_sellers.table().rows == [("1001", 2)]
    assert [letter.text for letter in shop.state.mail.letters.values()] == ["In your cart: 2 of 1001."]


def test_what_is_taken_out_is_gone_everywhere():
    shop = shopped(small_shop(), ADD_TWO_MUGS, AddItem(cart_id="c-1", product_id="1002"), RemoveItem(cart_id="c-1", product_id="1001"))

    assert shop.state.cart.of("c-1") == shop.state.cart_view.carts.of("c-1") == {"1002": 1}
    assert shop.state.badge.pieces["c-1"] == 1
    assert shop.state.best_sellers.pieces["1001"] == 0


def test_an_order_is_placed_reserved_paid_and_confirmed():
    shop = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT)

    expected = ["check.out", "checkout.started", "order.placed", "stock.reserved", "payment.authorized", "order.confirmed"]
    assert [name for name in names(shop) if name in expected] == expected
    assert shop.wait_for(OrderPlaced).lines == (OrderLine(product_id="1001", quantity=2, price=250),)
    assert shop.wait_for(OrderConfirmed) == OrderConfirmed(order_id="o-c-1-1", total=500)
    assert shop.state.orders.counts() == {"placed": 0, "confirmed": 1, "cancelled": 0, "returned": 0}
    assert shop.state.payment.charged == {"o-c-1-1": 500}
    assert shop.state.stock.left("1001") == 999_998
    assert shop.state.cart.of("c-1") == shop.state.cart_view.carts.of("c-1") == {}
    assert shop.state.badge.pieces["c-1"] == 0
    assert list(shop.state.mail.letters.values())[-1].text == "Thank you: your order of £5.00 is on its way."


def test_every_event_of_an_order_goes_back_to_the_click_that_asked_for_it():
    shop = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT)

    [click] = [row for row in shop.trace.publications if row.name == "check.out"]
    assert {row.name for row in shop.trace.publications if row.correlation == click.event} >= {"check.out", "order.placed", "order.confirmed"}


def test_an_order_that_the_bank_declines_is_cancelled_and_its_goods_are_for_sale_again():
    shop = shopped(small_shop(payment_failure=1.0), ADD_TWO_MUGS, CHECK_OUT)

    assert shop.wait_for(PaymentFailed).amount == 500
    assert shop.wait_for(OrderCancelled).reason == "the bank declined"
    assert shop.wait_for(StockReleased).order_id == "o-c-1-1"
    assert shop.state.stock.left("1001") == 1_000_000
    assert shop.state.stock.reserved == {}
    assert shop.state.payment.charged == {}


def test_an_order_of_what_is_not_there_is_cancelled_and_nobody_is_charged():
    shop = shopped(small_shop(stock={"1001": 1}), ADD_TWO_MUGS, CHECK_OUT)

    assert shop.wait_for(StockRejected).missing == ("1001",)
    assert shop.wait_for(OrderCancelled).reason == "not in stock: 1001"
    assert shop.state.stock.left("1001") == 1
    assert "stock.reserved" not in names(shop)


def test_two_lines_of_one_product_are_put_aside_together_or_not_at_all():
    stock, line = Stock(10), OrderLine(product_id="1001", quantity=6, price=450)

    assert stock.reserve("o-1", (line, line)) == ("1001",)
    assert stock.left("1001") == 10


def test_goods_that_come_back_are_paid_back_and_put_onto_the_shelf():
    lines = (OrderLine(product_id="1001", quantity=2, price=250),)
    shop = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT, OrderReturned(order_id="o-c-1-1", lines=lines, amount=500))

    assert shop.wait_for(PaymentRefunded) == PaymentRefunded(order_id="o-c-1-1", amount=500)
    assert shop.state.orders.orders["o-c-1-1"].status == "returned"
    assert shop.state.stock.left("1001") == 1_000_000


def test_a_return_of_an_order_from_before_is_written_down_too():
    shop = shopped(small_shop(), OrderReturned(order_id="C1", lines=(OrderLine(product_id="1001", quantity=1, price=99),), amount=99))

    assert shop.state.orders.orders["C1"].status == "returned"
    assert shop.state.payment.refunded == {"C1": 99}


def test_a_new_price_holds_for_the_next_check_out_and_on_every_page():
    shop = shopped(small_shop(), ADD_TWO_MUGS, ProductPriceChanged(product_id="1001", price=300))
    state = shop.state

    assert (state.cart_view.total("c-1"), state.catalogue.products["1001"].price, state.product_list.prices["1001"], state.product_detail.prices["1001"]) == (
        600,
        300,
        300,
        300,
    )
    shopped(shop, CHECK_OUT)
    assert shop.wait_for(CheckoutStarted).lines[0].price == 300


def test_pages_that_are_looked_at_are_counted():
    shop = shopped(small_shop(), ProductListViewed(cart_id="c-1"), ProductViewed(cart_id="c-1", product_id="1002"), ADD_TWO_MUGS, CartViewed(cart_id="c-1"))

    state = shop.state
    assert (state.product_list.shown["c-1"], state.product_detail.shown["1002"], state.cart_view.shown["c-1"]) == (1, 1, 1)
    assert state.cart_view.table("c-1").says == "£5.00 in all"


def test_what_was_put_back_is_no_best_seller_and_as_many_are_shown_as_were_asked_for():
    sellers = BestSellers()
    for product, pieces in (("1001", 2), ("1002", 1), ("1003", 3), ("1002", -1)):
        sellers.pieces.add(product, pieces)

    assert sellers.table().rows == [("1003", 3), ("1001", 2)]
    assert sellers.table(1).rows == [("1003", 3)]
    for wrong in (-1, 1.5, "2", None):
        with pytest.raises(InvalidValueError, match="number is"):
            sellers.table(wrong)


def test_a_cart_with_a_product_that_nobody_sells_has_no_price():
    view = small_shop().state.cart_view
    view.carts.apply(CartItemAdded(cart_id="c-1", product_id="nope", quantity=1))

    with pytest.raises(UnknownProductError, match="no product 'nope'"):
        view.table("c-1")


def test_an_empty_cart_is_not_checked_out_and_what_is_not_in_it_is_not_taken_out():
    shop = shopped(small_shop(), CHECK_OUT, RemoveItem(cart_id="c-1", product_id="1001"))

    assert names(shop) == ["check.out", "remove.item"]


def test_a_cart_can_be_checked_out_again():
    shop = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT, ADD_TWO_MUGS, CHECK_OUT)

    assert sorted(shop.state.payment.charged) == ["o-c-1-1", "o-c-1-2"]


def test_a_product_that_the_shop_does_not_have_is_named():
    shop = small_shop()
    shop.send(AddItem(cart_id="c-1", product_id="77"))

    with pytest.raises(UnknownProductError, match=r"no product '77' \(it has 2: 1001, 1002\)"):
        shop.run_until_idle()
    assert shop.dead_letters("cart")[0].error.startswith("UnknownProductError")


@pytest.mark.parametrize("wrong", [{"quantity": 0}, {"quantity": -1}, {"quantity": 2_000_000}, {"cart_id": ""}, {"cart_id": "c" * 65}, {"product_id": ""}])
def test_a_command_that_makes_no_sense_is_not_sent(wrong):
    with pytest.raises(EventValueError, match="AddItem was not sent"):
        small_shop().send(AddItem(**({"cart_id": "c-1", "product_id": "1001"} | wrong)))


@pytest.mark.parametrize("name", ["orders", "stock", "payment", "cart", "mail"])
@pytest.mark.parametrize("point", ["started", "handled"])
def test_a_worker_that_dies_repeats_work_and_the_end_is_the_same(name, point):
    calm = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT)
    faults = Faults(*(CrashPoint(name, point, nth=nth) for nth in (1, 3)), restart_after=0.2, duplicate=0.5)
    shop = shopped(small_shop(faults=faults, seed=3), ADD_TWO_MUGS, CHECK_OUT)

    assert shop.report().column("crashed") != [0] * len(COMPONENTS)
    assert state_hash(shop) == state_hash(calm)
    assert shop.state.payment.charged == {"o-c-1-1": 500}
    assert shop.state.stock.sold == {"1001": 2}
    assert sorted(letter.text for letter in shop.state.mail.letters.values()) == sorted(letter.text for letter in calm.state.mail.letters.values())


def test_an_order_that_is_reported_twice_by_two_events_is_charged_once():
    shop = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT, StockReserved(order_id="o-c-1-1", total=500))

    assert [row.name for row in shop.trace.publications].count("payment.authorized") == 2
    assert shop.state.payment.charged == {"o-c-1-1": 500}
    assert [letter.about for letter in shop.state.mail.letters.values()].count("o-c-1-1") == 1


def test_a_late_copy_changes_nothing_that_was_settled():
    lines = (OrderLine(product_id="1001", quantity=2, price=250),)
    returned = OrderReturned(order_id="o-c-1-1", lines=lines, amount=500)
    shop = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT, returned, returned, PaymentAuthorized(order_id="o-c-1-1", amount=500))

    assert shop.state.orders.orders["o-c-1-1"].status == "returned"
    assert shop.state.stock.left("1001") == 1_000_000
    assert shop.state.payment.refunded == {"o-c-1-1": 500}


def test_the_order_of_an_earlier_placed_copy_stays_as_it_was():
    shop = shopped(small_shop(), ADD_TWO_MUGS, CHECK_OUT)
    placed = shop.wait_for(OrderPlaced)
    shopped(shop, placed)

    assert shop.state.stock.sold == {"1001": 2}


def test_replaying_its_events_rebuilds_a_cart():
    history = [
        CartItemAdded(cart_id="c-1", product_id="1001", quantity=2),
        CartItemAdded(cart_id="c-1", product_id="1001", quantity=1),
        CartItemAdded(cart_id="c-2", product_id="1002", quantity=1),
        CheckoutStarted(cart_id="c-2", order_id="o-c-2-1", lines=()),
    ]

    carts = Carts.replay(history)

    assert carts.lines == {"c-1": {"1001": 3}}
    assert carts.next_order("c-2") == "o-c-2-2"


def test_the_same_seed_declines_the_same_payments_whatever_the_order():
    def declined(seed, carts):
        shop = small_shop(seed=seed, payment_failure=0.5)
        for cart in carts:
            shopped(shop, AddItem(cart_id=cart, product_id="1001"), CheckOut(cart_id=cart))
        return {order.order_id for order in shop.state.orders.orders.values() if order.status == "cancelled"}

    carts = [f"c-{number}" for number in range(40)]
    assert declined(1, carts) == declined(1, carts[::-1])
    assert 10 <= len(declined(1, carts)) <= 30
    assert declined(1, carts) != declined(2, carts)


def test_the_seed_that_is_chosen_later_counts_for_payments_too():
    shop = small_shop(payment_failure=0.5)
    shop.configure(seed=7)

    assert shop.state.payment.seed == shop.seed == 7


def test_the_hash_tells_what_is_in_carts_and_orders_and_nothing_else():
    looked = shopped(small_shop(), ProductListViewed(cart_id="c-1"))
    assert state_hash(looked) == state_hash(small_shop())
    assert state_hash(shopped(small_shop(), ADD_TWO_MUGS)) != state_hash(looked)
    assert state_hash(shopped(small_shop(seed=9), ADD_TWO_MUGS, CHECK_OUT)) == state_hash(shopped(small_shop(seed=1), ADD_TWO_MUGS, CHECK_OUT))


def test_options_reach_the_component_that_they_name():
    shop = build_shop(stock_takes=Constant(0.5), stock_concurrency=3, product_list_bound=7, cart_view_max_attempts=2)

    assert (shop.components["stock"].takes, shop.components["stock"].concurrency) == (Constant(0.5), 3)
    assert shop.components["product_list"].bound == 7
    assert shop.components["cart_view"].max_attempts == 2


def test_service_times_are_those_of_the_shop_unless_others_are_given():
    assert build_shop().components["stock"].takes == Exponential(0.004)
    assert build_shop(takes={"mail": Constant(1)}).components["stock"].takes is None
    assert build_shop(takes={}).components["mail"].takes is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stock_workers": 2}, r"no option 'stock_workers' \(it has: components, .*'takes'"),
        ({"warehouse_takes": Constant(1)}, "no option 'warehouse_takes'"),
        ({"components": ("cart", "warehouse")}, "no option 'warehouse' .*catalogue, cart, orders"),
        ({"takes": {"warehouse": Constant(1)}}, "no option 'warehouse'"),
    ],
)
def test_an_option_that_the_shop_does_not_have_is_named(options, message):
    with pytest.raises(ShopOptionError, match=message):
        build_shop(**options)


@pytest.mark.parametrize("options", [{"payment_failure": 1.5}, {"stock": -1}, {"stock": {"1001": "many"}}, {"stock_takes": 0.004}, {"stock_concurrency": 0}])
def test_an_option_that_makes_no_sense_is_refused(options):
    with pytest.raises(InvalidValueError):
        build_shop(**options)


def test_a_network_broker_does_not_go_with_virtual_time():
    with pytest.raises(CapabilityError):
        build_shop(broker="sqlite:///shop.db", clock="virtual")


def test_two_shops_keep_their_states_apart():
    one, two = small_shop(), small_shop()
    shopped(one, ADD_TWO_MUGS, ProductPriceChanged(product_id="1001", price=1))

    assert two.state.cart.lines == {}
    assert two.state.catalogue.products["1001"].price == 250
    assert isinstance(two, App)


def test_the_shop_runs_in_real_time_too():
    with build_shop(takes={}) as shop:
        shop.send(ADD_TWO_MUGS)
        shop.send(CHECK_OUT)
        confirmed = shop.wait_for(OrderConfirmed, timeout=60)

    assert confirmed.order_id == "o-c-1-1"


def test_several_workers_in_real_time_lose_no_piece():
    with build_shop(takes={}, stock_concurrency=4, orders_concurrency=4, payment_concurrency=4, best_sellers_concurrency=4) as shop:
        for number in range(200):
            shop.send(AddItem(cart_id=f"c-{number}", product_id="1001"))
            shop.send(CheckOut(cart_id=f"c-{number}"))
        shop.wait_until_idle(20)

    assert shop.state.stock.sold["1001"] == shop.state.best_sellers.pieces["1001"] == 200
    assert shop.state.orders.counts()["confirmed"] == 200
