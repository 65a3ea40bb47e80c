"""The shop window: a button on the left, a lane a component, and the events that wait in front of each, live.

The app runs in the background, in real time. The window shows what the app's own record says, and sends the browser a small state when
something has changed: it measures nothing and slows nobody down.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple
from weakref import WeakValueDictionary

import anywidget
import traitlets

from edakit.app import App
from edakit.component import Component
from edakit.errors import ClosedError, EdakitError, UnknownComponentError
from edakit.events import Command, Context, Event, type_name

__all__ = ["NEWCOMER", "Lane", "ShopWindow", "status"]

NEWCOMER: Final = "newcomer"
"""Name of the component that a button adds."""

PAUSE: Final = 0.04  # at most 25 pictures a second, however fast somebody clicks [s]


class Lane(NamedTuple):
    """What one lane shows.

    Attributes:
        name: Name of the component.
        on: Whether it takes events.
        handled: How many events it has handled [events].
        waiting: How many events wait in its queue [events].
        busy: How many it is handling now [events].
        late: Whether it was switched on while events waited, and has not caught up yet.
        note: A few words about it.
    """

    name: str
    on: bool = True
    handled: int = 0
    waiting: int = 0
    busy: int = 0
    late: bool = False
    note: str = ""

    @property
    def title(self) -> str:
        """Its name as people write it: best sellers."""
        return self.name.replace("_", " ")


def status(lanes: Iterable[Lane]) -> str:
    """Say in one or two sentences what *lanes* show. A sentence stays the same while a component works, so that it is read aloud once."""
    lanes = list(lanes)
    said = [f"{lane.title} is off, {_events(lane.waiting)}." for lane in lanes if not lane.on]
    said += [f"{lane.title} is on and catching up." for lane in lanes if lane.late]
    if said:
        return " ".join(said)
    if any(lane.waiting or lane.busy for lane in lanes):
        return "Events are being handled."
    if not any(lane.handled for lane in lanes):
        return "Nothing has happened yet."
    return "Nothing waits. Handled: " + ", ".join(f"{lane.title} {lane.handled}" for lane in lanes) + "."


def _events(number: int) -> str:
    return "nothing waits" if not number else "1 event waits" if number == 1 else f"{number:,} events wait"


class ShopWindow(anywidget.AnyWidget):
    """A window onto an app that runs: press the button, switch a component off and on, let a newcomer subscribe.

    Making a second window of the same lanes closes the first one and the app behind it. A window that is closed leaves no thread.

    Args:
        app: The app, with a wall clock; the window starts it.
        command: What the button sends.
        lanes: Names of the components that get a lane.
        button: What stands on the button.
        newcomer: The event that the newcomer subscribes to; None for a window without this button.

    Raises:
        UnknownComponentError: the app has no component of that name.
        VirtualTimeError: the app has a virtual clock, which has no background.
    """

    _esm = Path(__file__).with_suffix(".js")
    _css = Path(__file__).with_suffix(".css")
    _shown: ClassVar[WeakValueDictionary[tuple[str, ...], ShopWindow]] = WeakValueDictionary()
    _thread: threading.Thread | None = None

    state = traitlets.Dict().tag(sync=True)

    def __init__(self, app: App, command: Command, *, lanes: Sequence[str], button: str = "Add to cart", newcomer: type[Event] | None = None) -> None:
        for name in lanes:
            if name not in app.components:
                raise UnknownComponentError(name, app.components)
        self._app, self._command, self._button, self._newcomer = app, command, button, newcomer
        self._names = [*lanes, *(name for name in (NEWCOMER,) if newcomer and name in app.components)]
        self._off: set[str] = set()
        self._late: set[str] = set()
        self._problem = self._note = ""
        self._changed, self._ended, self._pressing = threading.Event(), threading.Event(), threading.Lock()
        thread = self._begin(tuple(lanes))
        super().__init__(state=self._look())
        self.add_class("edakit-shop-window")
        self.on_msg(self._receive)
        thread.start()

    def _begin(self, lanes: tuple[str, ...]) -> threading.Thread:
        old = self._shown.get(lanes)
        if old is not None:
            old.close(keep_app=old._app is self._app)  # noqa: SLF001 (the same class)
        self._app.start()
        for name in self._names:
            self._app.resume(name)
        self._forget = [self._app.hooks.on(point, lambda *_: self._changed.set()) for point in ("published", "started", "acked")]
        self._thread = threading.Thread(target=self._tell, name="shop-window", daemon=True)
        self._shown[lanes] = self
        return self._thread

    # What a person can do, with the buttons or in code

    def press(self) -> None:
        """Send the command, as the button does. Raises as `App.send`."""
        self._note = ""
        self._app.send(self._command)

    def switch(self, name: str, *, on: bool) -> None:
        """Switch component *name* on or off; what is published while it is off waits in its queue.

        Raises:
            UnknownComponentError: the app has no component of that name.
        """
        if on:
            self._app.resume(name)
            self._off.discard(name)
            if self._app.backlog(name):
                self._late.add(name)
        else:
            self._app.pause(name)
            self._off.add(name)
            self._late.discard(name)
        self._changed.set()

    def subscribe(self) -> None:
        """Let the newcomer subscribe: it gets what is published from now on. A second time changes nothing."""
        with self._pressing:
            if self._newcomer is None or NEWCOMER in self._app.components:
                return
            self._app.add(_newcomer(self._newcomer, self._app.components[self._names[0]]))
            self._names.append(NEWCOMER)
            self._note = f"{NEWCOMER} has subscribed; what was published before does not reach it. "
            self._changed.set()

    def close(self, *, keep_app: bool = False) -> None:
        """End the window, its thread and, unless *keep_app*, the app; doing so twice is doing it once."""
        if self._thread is not None and not self._ended.is_set():
            self._ended.set()
            self._changed.set()
            for forget in self._forget:
                forget()
            if self._thread.is_alive():
                self._thread.join()
            if not keep_app:
                self._app.close()
        super().close()

    # What it shows

    @property
    def lanes(self) -> list[Lane]:
        """What each lane shows now, from the record of the app."""
        handled = Counter(row.component for row in self._app.trace.deliveries if row.outcome == "handled")
        return [self._lane(name, handled[name]) for name in self._names]

    def _lane(self, name: str, handled: int) -> Lane:
        try:
            waiting, inside = self._app.backlog(name), self._app.bus.outstanding(name)
        except ClosedError:
            waiting = inside = 0
        if not inside:
            self._late.discard(name)
        note = "subscribed later" if name == NEWCOMER else ""
        return Lane(name, name not in self._off, handled, waiting, max(0, inside - waiting), name in self._late, note)

    def _look(self) -> dict[str, Any]:
        lanes, asked = self.lanes, type_name(type(self._command))
        return {
            "button": self._button,
            "clicks": sum(row.name == asked for row in self._app.trace.publications),
            "lanes": [{**lane._asdict(), "title": lane.title} for lane in lanes],
            "newcomer": "" if self._newcomer is None else "there" if NEWCOMER in self._names else "offered",
            "says": self._problem or self._note + status(lanes),
        }

    def _tell(self) -> None:
        """Send the browser what has changed, and sleep while nothing does."""
        while not self._ended.is_set():
            self._changed.wait()
            self._changed.clear()
            if not self._ended.wait(PAUSE):
                self.state = self._look()

    def _receive(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        """Do what was pressed in the browser; a button has no cell to raise in, so what is wrong is said in the window."""
        self._problem = ""
        try:
            match content:
                case {"press": "send"}:
                    self.press()
                case {"press": "switch", "lane": str(name), "on": bool(on)}:
                    self.switch(name, on=on)
                case {"press": "newcomer"}:
                    self.subscribe()
        except EdakitError as error:
            self._problem = f"That did not work: {error}. Run the cell again."
        self._changed.set()

    def __repr__(self) -> str:
        return f"ShopWindow({', '.join(f'{lane.title} {lane.handled}' for lane in self.lanes)})"


def _newcomer(event_type: type[Event], like: Component) -> Component:
    """Make a component that only takes note of each event, as busy as another one *like* it."""
    component = Component(NEWCOMER, takes=like.takes)

    @component.on(event_type)
    def take_note(_event: Event, _context: Context) -> None:
        """Do nothing: that it was called stands in the record."""

    return component
