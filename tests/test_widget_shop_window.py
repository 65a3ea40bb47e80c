"""The shop window without a browser: what it shows is what the app's record says."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from edakit import App, Command, Component, Constant
from edakit.errors import UnknownComponentError, VirtualTimeError
from edakit.shop import AddItem, CartItemAdded, build_shop
from edakit.widgets.shop_window import Lane, ShopWindow, status

LANES = ("badge", "best_sellers", "mail")
CLICK = AddItem(cart_id="c-1", product_id="1001")


class Ping(Command):
    """Are you there?"""


def small_shop(**options):
    return build_shop(components=["cart", *LANES], takes={}, **options)


@pytest.fixture
def window():
    """A window onto a shop of four components that take no time."""
    opened = ShopWindow(small_shop(), CLICK, lanes=LANES, newcomer=CartItemAdded)
    yield opened
    opened.close()


def press(window, times):
    for _ in range(times):
        window.press()
    window._app.wait_until_idle(60)


def handled(window):
    return {lane.name: lane.handled for lane in window.lanes}


def test_one_click_is_handled_by_each_of_the_three(window):
    press(window, 1)

    assert handled(window) == {"badge": 1, "best_sellers": 1, "mail": 1}
    assert window._app.state.badge.pieces["c-1"] == 1


def test_what_was_clicked_while_mail_was_off_waits_and_is_handled_when_it_is_on(window):
    window.switch("mail", on=False)
    press(window, 5)
    assert window.lanes[2] == Lane("mail", on=False, waiting=5)
    assert handled(window) == {"badge": 5, "best_sellers": 5, "mail": 0}

    window.switch("mail", on=True)
    window._app.wait_until_idle(60)

    assert window.lanes[2] == Lane("mail", handled=5)
    assert len(window._app.state.mail.letters) == 5


def test_a_newcomer_gets_only_what_comes_after_it_has_subscribed(window):
    press(window, 3)
    window.subscribe()
    press(window, 2)

    assert handled(window) == {"badge": 5, "best_sellers": 5, "mail": 5, "newcomer": 2}


def test_a_newcomer_comes_once(window):
    window.subscribe()
    window.subscribe()

    assert [lane.name for lane in window.lanes] == [*LANES, "newcomer"]
    assert window._look()["newcomer"] == "there"


def test_the_browser_is_told_when_something_has_changed_and_only_then(window):
    told = []
    caught_up = threading.Event()

    def note(change):
        told.append(change["new"])
        if change["new"]["says"] == "Nothing waits. Handled: badge 1, best sellers 1, mail 1.":
            caught_up.set()

    window.observe(note, "state")
    window._receive(window, {"press": "send"}, [])

    assert caught_up.wait(60)
    assert told[-1]["clicks"] == 1
    assert all(one != other for one, other in pairwise(told))


def test_each_button_of_the_browser_does_what_the_method_does(window):
    window._receive(window, {"press": "switch", "lane": "badge", "on": False}, [])
    window._receive(window, {"press": "send"}, [])
    window._receive(window, {"press": "newcomer"}, [])
    window._app.wait_until_idle(60)

    assert window.lanes[0] == Lane("badge", on=False, waiting=1)
    assert window.lanes[3].name == "newcomer"


def test_what_goes_wrong_behind_a_button_is_said_in_the_window(window):
    window._app.close()

    window._receive(window, {"press": "send"}, [])

    assert window._look()["says"].startswith("That did not work: the app is closed")


def test_the_text_is_the_same_on_every_machine(window):
    assert repr(window) == "ShopWindow(badge 0, best sellers 0, mail 0)"
    assert window._repr_mimebundle_()[0]["text/plain"] == repr(window)


def test_running_the_cell_again_ends_the_old_window_its_shop_and_their_threads():
    before = set(threading.enumerate())
    first = ShopWindow(small_shop(), CLICK, lanes=LANES)
    second = ShopWindow(small_shop(), CLICK, lanes=LANES)
    while_open = {thread.name for thread in set(threading.enumerate()) - before}

    assert first._app._closed
    assert not second._app._closed
    second.close()

    assert while_open == {"shop-window", "cart-0", "badge-0", "best_sellers-0", "mail-0"}
    assert set(threading.enumerate()) <= before


def test_a_second_window_onto_the_same_shop_shows_what_has_happened_there():
    shop = small_shop()
    first = ShopWindow(shop, CLICK, lanes=LANES, newcomer=CartItemAdded)
    first.subscribe()
    first.switch("mail", on=False)
    press(first, 2)

    second = ShopWindow(shop, CLICK, lanes=LANES, newcomer=CartItemAdded)
    shop.wait_until_idle(60)
    shown = handled(second)
    second.close()

    assert shown == {"badge": 2, "best_sellers": 2, "mail": 2, "newcomer": 2}


def test_a_window_needs_components_that_are_there_and_a_clock_that_runs_by_itself():
    with pytest.raises(UnknownComponentError, match="bagde"):
        ShopWindow(small_shop(), CLICK, lanes=["bagde"])
    with pytest.raises(VirtualTimeError, match="wall"):
        ShopWindow(small_shop(clock="virtual"), CLICK, lanes=LANES)


def test_an_event_that_is_handled_now_does_not_wait():
    begun, go_on = threading.Event(), threading.Event()
    shop = small_shop()
    shop.hooks.on("started", lambda component, _: component == "mail" and (begun.set(), go_on.wait(60)))
    window = ShopWindow(shop, CLICK, lanes=LANES)
    window.press()
    window.press()
    assert begun.wait(60)
    mail = window.lanes[2]
    go_on.set()
    window.close()

    assert mail.busy == 1
    assert mail.waiting <= 1


@pytest.mark.parametrize(
    ("lanes", "said"),
    [
        ([Lane("badge"), Lane("mail")], "Nothing has happened yet."),
        ([Lane("best_sellers", on=False)], "best sellers is off, nothing waits."),
        ([Lane("badge", handled=5), Lane("mail", on=False, waiting=1)], "mail is off, 1 event waits."),
        ([Lane("badge", on=False, waiting=2), Lane("mail", on=False, waiting=5)], "badge is off, 2 events wait. mail is off, 5 events wait."),
        ([Lane("badge", handled=5), Lane("mail", waiting=4, busy=1, late=True)], "mail is on and catching up."),
        ([Lane("badge", handled=5), Lane("mail", waiting=1, busy=1)], "Events are being handled."),
        ([Lane("badge", handled=5), Lane("mail", handled=5)], "Nothing waits. Handled: badge 5, mail 5."),
    ],
)
def test_the_window_says_in_words_what_it_shows(lanes, said):
    assert status(lanes) == said


def test_many_changes_at_a_time_make_few_pictures():
    shop = build_shop(components=["cart", *LANES], takes={"mail": Constant(0.001)})
    window = ShopWindow(shop, CLICK, lanes=LANES)
    changes, pictures = [], []
    for point in ("published", "started", "acked"):
        shop.hooks.on(point, lambda *about: changes.append(about))
    window.observe(pictures.append, "state")

    press(window, 200)
    window.close()

    assert len(changes) == 200 * (2 + 2 * 4)  # command and event published; each of four components starts and ends
    assert len(pictures) < len(changes) / 20


def test_any_app_can_have_a_window():
    mail = Component("mail")

    @mail.on(Ping)
    def answer(event, context):
        pass

    window = ShopWindow(App(mail), Ping(), lanes=["mail"])
    press(window, 1)
    window.close()

    assert handled(window) == {"mail": 1}
