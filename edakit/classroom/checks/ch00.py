"""The exercises of chapter 00, Your first event.

What an answer looks like:

00.1 `build_gifts(parcels)` returns a `Component` that appends the cart's id to the list *parcels* for each `CartItemAdded` of 3 or more pieces.
     `gifts = Component("gifts")` and `return gifts` are given; the handler between them is the gap. `check_00_1(build_gifts)`
00.2 `counts(k, n)` returns two numbers for n clicks: how many a component has got in the end that was added after k of them, and how many
     the mail has got that was paused before the first and resumed after the last. `check_00_2(counts)`
00.3 `kinds` is a dict with the six `MESSAGES` as keys and a pair for each: "event", "command" or "query", and how many handlers it may have,
     "one" or "any". `renamed` is a class of its own with the field `order_id: str`, for what was called `OrderShouldBeShipped`.
     In a copy both stand there as `...`, in a line before the marks. `check_00_3(kinds, renamed)`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from edakit.classroom.exercises import NothingHereError, NotYetError, answered, exercise, virtual
from edakit.component import Component
from edakit.events import Command, Context, Event, type_name
from edakit.shop.events import CartItemAdded

__all__ = ["MESSAGES", "check_00_1", "check_00_2", "check_00_3"]

MESSAGES: Final = (
    "put two mugs into my cart",
    "two mugs were put into cart c-1",
    "what is in cart c-1?",
    "the mug costs 450 pence from now on",
    "cancel order o-1",
    "OrderShouldBeShipped",
)
"""What exercise 00.3 asks about."""

ANSWERS: Final = (("command", "one"), ("event", "any"), ("query", "one"), ("event", "any"), ("command", "one"), ("command", "one"))
WORDS: Final = (("event", "command", "query"), ("one", "any"))
LARGE = 3  # pieces that make an order a gift


@exercise(
    "00.1",
    "A component for gifts",
    points=2,
    hints=(
        "The mail component of this chapter has what is missing here: a function, and a line over it that tells the loop when to call it.",
        "Write @gifts.on(CartItemAdded) over a function of two arguments, event and context.",
        "In the function: if event.quantity >= 3: parcels.append(event.cart_id)",
    ),
)
def check_00_1(build_gifts: Callable[[list[str]], Component]) -> str:
    """Look at which carts *build_gifts* has collected: before anything is published, and for other quantities in three carts."""
    _collects(build_gifts, [("c-1", 2), ("c-2", 3), ("c-3", 7), ("c-1", 4), ("c-2", 1)])
    _collects(build_gifts, [("c-1", 3), ("c-2", 2), ("c-3", 3), ("c-1", 6)])
    return "Tried: two shops, three carts, 1 to 7 pieces, and nothing before the loop ran."


def _collects(build_gifts: Callable[[list[str]], Component], orders: Sequence[tuple[str, int]]) -> None:
    parcels: list[str] = []
    gifts = answered(build_gifts(parcels), "build_gifts(parcels)")
    _is_not_called_by_hand(parcels)
    if not isinstance(gifts, Component):
        raise NotYetError(f"build_gifts gives back {gifts!r}", "the component", "This happens when the last line is missing.", "return gifts")
    if not gifts.handlers:
        raise NothingHereError("the component has no handler yet: a function becomes one by the line @gifts.on(CartItemAdded) over it")
    app = virtual(gifts)
    for cart_id, quantity in orders:
        app.publish(CartItemAdded(cart_id=cart_id, product_id="1001", quantity=quantity))
    app.run_until_idle()
    app.close()
    _compare_parcels(parcels, orders, gifts)


def _is_not_called_by_hand(parcels: list[str]) -> None:
    if parcels:
        found, times = ("1 parcel", "once") if len(parcels) == 1 else (f"{len(parcels)} parcels", f"{len(parcels)} times")
        raise NotYetError(
            f"{found} before any event",
            "none",
            f"gifts ran {times} although nothing was published: your cell called the function. Let the loop call it.",
            "the line over the function: @gifts.on(…) registers it, and nothing else is needed",
        )


def _compare_parcels(parcels: list[str], orders: Sequence[tuple[str, int]], gifts: Component) -> None:
    wanted = [cart_id for cart_id, quantity in orders if quantity >= LARGE]
    if parcels == wanted:
        return
    because, look = "This happens when the condition is another one.", "the body of your handler"
    if type_name(CartItemAdded) not in gifts.handlers:
        because, look = f"It handles {', '.join(gifts.handlers)}, and that was not published.", "the line over your function: @gifts.on(CartItemAdded)"
    elif not parcels:
        because = "Your handler ran, and appended nothing to parcels."
    elif parcels == [cart_id for cart_id, quantity in orders if quantity > LARGE]:
        because = "“3 or more” includes 3: this happens with > in place of >=."
    elif parcels == _by_totals(orders):
        because = "This happens when the pieces of a cart are added up. Each addition counts by itself: 3 or more at once."
    elif parcels == list(dict.fromkeys(wanted)):
        because = "This happens when a cart is collected once. Each addition of 3 or more counts, also the second one to a cart."
    elif len(parcels) == len(orders):
        because = "This happens when every event is collected, whatever its quantity."
    elif len(parcels) == len(wanted):
        because = "This happens when something else than the cart's id is appended."
    raise NotYetError(f"parcels {parcels} from the additions {list(orders)}, each a cart and its pieces", f"{wanted}", because, look)


def _by_totals(orders: Sequence[tuple[str, int]]) -> list[str]:
    """Return what is collected where the pieces that a cart has by then are counted."""
    pieces: Counter[str] = Counter()
    found = []
    for cart_id, quantity in orders:
        pieces[cart_id] += quantity
        if pieces[cart_id] >= LARGE:
            found.append(cart_id)
    return found


class _Clicked(Event):
    """Somebody pressed a button."""


@exercise(
    "00.2",
    "Late, or only paused",
    points=3,
    hints=(
        "Play it through with 3 clicks and a component that is added after the first. Where is each click when it is added?",
        "A queue begins to collect when its component is added. Pausing the component does not close its queue.",
        "The late one gets n - k, the paused one all n.",
    ),
)
def check_00_2(counts: Callable[[int, int], tuple[int, int]]) -> str:
    """Compare *counts* with what the app does, for other k and n."""
    for k, n in ((2, 5), (0, 3), (4, 4), (3, 10)):
        said = answered(counts(k, n), f"counts({k}, {n})")
        happened = _late_and_paused(k, n)
        if not isinstance(said, tuple | list) or len(said) != len(happened):
            raise NotYetError(
                f"{said!r} from counts({k}, {n})", "two numbers, late and mail", "This happens when one of them is left out.", "return late, mail"
            )
        if tuple(said) != happened:
            look = "the timeline of the paused mail" if said[1] != n else "what late got in the run of seven orders"
            raise NotYetError(f"{tuple(said)} from counts({k}, {n})", f"{happened}, as in a run", _why_counts(tuple(said), k, n), look)
    return "Tried against four runs in virtual time, one with k = 0 and one with k = n."


def _late_and_paused(k: int, n: int) -> tuple[int, int]:
    got = {"late": 0, "mail": 0}

    def listener(name: str) -> Component:
        component = Component(name)

        @component.on(_Clicked)
        def count(_event: _Clicked, _context: Context) -> None:
            got[name] += 1

        return component

    app = virtual(listener("mail"))
    app.pause("mail")
    for click in range(n):
        if click == k:
            app.add(listener("late"))
        app.publish(_Clicked())
    app.resume("mail")
    app.run_until_idle()
    app.close()
    return got["late"], got["mail"]


def _why_counts(said: tuple[Any, ...], k: int, n: int) -> str:
    if said == (n, n):
        return "Paused, its queue was collecting. Before subscribing there was no queue."
    if said == (n - k, n - k):
        return "Both cannot be late: the mail was there from the beginning, and while it was paused its queue was collecting."
    if said == (n, n - k):
        return "They are exchanged: the first number is that of the late one, the second that of the mail."
    if said[0] == k:
        return "k clicks came before it subscribed: these are the ones that it did not get."
    if said[1] == n and said[0] in (n - k - 1, n - k + 1):
        return "One too many or too few: it subscribes after click k, so click k + 1 is the first that it gets."
    late = "The first number is that of the late one. Its queue begins when it subscribes, and collects every click from then on."
    mail = "The second number is that of the mail. While it is paused its queue goes on collecting, and nothing is taken out of it."
    return late if said[1] == n else mail


@exercise(
    "00.3",
    "Event, command or query",
    points=5,
    hints=(
        "Ask of each: has it happened already, does it ask for something to be done, or does it want to know something?",
        "What has happened may be heard by any number. What is asked for must be done by one, and a question needs one answer.",
        "OrderShouldBeShipped asks for something. Write class ShipOrder(Command): with the field order_id: str.",
    ),
)
def check_00_3(kinds: Mapping[str, tuple[str, str]], renamed: type) -> str:
    """Compare *kinds* with how the shop works, and let two listeners wait for *renamed*."""
    if not isinstance(kinds, Mapping):
        raise NotYetError(
            f"kinds is a {type(kinds).__name__}", "a dictionary", "This happens when the pairs stand alone.", "the six texts of MESSAGES: its keys"
        )
    for message, answer in zip(MESSAGES, ANSWERS, strict=True):
        _is_a_key(message, kinds)
        said = answered(kinds.get(message), f"kinds[{message!r}]")
        _is_a_pair(message, said)
        if tuple(said) != answer:
            raise NotYetError(
                f"{message!r} is {tuple(said)}", "another pair", _why_kind(said, answer), "the three kinds, with their words for how many handle them"
            )
    _is_named_as_command(renamed)
    parcels = _ship(renamed)
    return f"{renamed.__name__} went to its one handler: {parcels} parcel."


def _is_a_key(message: str, kinds: Mapping[str, tuple[str, str]]) -> None:
    """Tell a text that is written differently from a stub, which has none at all."""
    if kinds and message not in kinds:
        because = "This happens when a text is left out, or typed in other words."
        raise NotYetError(f"no entry for {message!r}", "the six texts of MESSAGES as keys", because, "MESSAGES[0] to MESSAGES[5]: they can stand as keys")


def _is_a_pair(message: str, said: object) -> None:
    """Tell a pair that is written differently from one that is wrong."""
    words = said if isinstance(said, tuple | list) else ()
    if len(words) != len(WORDS) or any(word not in known for word, known in zip(words, WORDS, strict=True)):
        kinds, many = (", ".join(f'"{word}"' for word in known) for known in WORDS)
        raise NotYetError(
            f"{message!r} is {said!r}",
            f"a pair: one of {kinds}, then one of {many}",
            "This happens when a word is left out or written differently.",
            "the pair",
        )


def _why_kind(said: tuple[str, str], answer: tuple[str, str]) -> str:
    if said[0] == answer[0]:
        return "What happened may interest any number of components, also none; what is asked for needs exactly one who does it."
    if answer[0] == "event":
        return "This has happened already: nobody can refuse it, and whoever is interested may hear of it."
    if answer[0] == "query":
        return "This changes nothing: it asks one component for an answer."
    return "This asks for something to be done, and it may be refused. A request to one component is a command, whatever its name sounds like."


def _is_named_as_command(renamed: type) -> None:
    if not isinstance(renamed, type):
        raise NotYetError(f"renamed is {renamed!r}", "a class that you have written", "This happens when a text or an object is given.", "class …(Command)")
    if not issubclass(renamed, Event | Command):
        raise NotYetError(
            f"{renamed.__name__} is a class of plain Python",
            "an Event or a Command",
            "Nothing says how it travels: this happens when the parentheses after the name are left out.",
            "class AddItem(Command), and what stands in its parentheses",
        )
    if "order_id" not in renamed.__struct_fields__:
        fields = ", ".join(renamed.__struct_fields__) or "none"
        raise NotYetError(
            f"{renamed.__name__} with the fields: {fields}", "order_id", "Whoever ships needs to know which order.", "order_id: str in your class"
        )
    if not issubclass(renamed, Command):
        raise NotYetError(
            f"two listeners for one {renamed.__name__}, and {_ship(renamed)} parcels",
            "one parcel",
            "With two listeners this parcel ships twice. A request to one component is a command.",
            "the class after the name: (Event) or (Command)",
        )
    if "Should" in renamed.__name__ or renamed.__name__.endswith("ed"):
        raise NotYetError(
            f"a command that is called {renamed.__name__}",
            "an imperative",
            "The name of an event tells what happened, that of a command what to do.",
            "AddItem, and how it is named",
        )


def _ship(renamed: type[Any]) -> int:
    """Return how many parcels leave the shop for one message: an event is heard by two components, a command sent to one."""
    parcels: list[str] = []

    def shipper(name: str) -> Component:
        component = Component(name)

        @component.on(renamed)
        def ship(message: Any, _context: Context) -> None:
            parcels.append(message.order_id)

        return component

    is_command = issubclass(renamed, Command)
    app = virtual(*map(shipper, ["shipping"] if is_command else ["shipping", "returns"]))
    message = renamed(order_id="o-1")
    _ = app.send(message) if is_command else app.publish(message)
    app.run_until_idle()
    app.close()
    return len(parcels)
