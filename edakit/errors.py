"""Everything that edakit raises on purpose: one root, one class a reason, each sentence says what to do."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "BrokerError",
    "BrokerURLError",
    "CapabilityError",
    "ClosedError",
    "DecodeError",
    "EdakitError",
    "EventTypeError",
    "EventValueError",
    "ForkedError",
    "HandlerConflictError",
    "HandlerCountError",
    "InboxError",
    "InvalidValueError",
    "MessageTooLargeError",
    "PermissionDeniedError",
    "QueueFullError",
    "UncertainError",
    "UnknownComponentError",
    "UnroutableEventError",
    "VirtualTimeError",
    "WaitTimeoutError",
]


class EdakitError(Exception):
    """The root: `except EdakitError` catches whatever edakit raises on purpose, and nothing else."""


class InvalidValueError(EdakitError, ValueError):
    """An argument is outside of what makes sense."""

    def __init__(self, name: str, found: object, expected: str) -> None:
        self.name, self.found, self.expected = name, found, expected
        super().__init__(name, found, expected)

    def __str__(self) -> str:
        found = " ".join(repr(self.found).split())  # a run is a table of several lines, an array may have thousands
        return f"{self.name} is {found[:300]}{'…' * (len(found) > 300)}; give {self.expected}"  # noqa: PLR2004 (letters that a person reads)


class EventTypeError(EdakitError, TypeError):
    """An event class has a field whose type cannot travel between processes, or none at all."""

    def __init__(self, event: str, problem: str) -> None:
        self.event, self.problem = event, problem
        super().__init__(event, problem)

    def __str__(self) -> str:
        return (
            f"{self.event}: {self.problem}; fields may be bool, int, float, str, bytes, date, datetime, Decimal, UUID, an Enum, "
            "a Literal, a list, tuple or set of these, a dict with text keys, or a msgspec.Struct of these"
        )


class EventValueError(EdakitError, ValueError):
    """A field of an event holds a value that its type does not allow; nothing was sent."""

    def __init__(self, event: str, problem: str) -> None:
        self.event, self.problem = event, problem
        super().__init__(event, problem)

    def __str__(self) -> str:
        return f"{self.event} was not sent: {self.problem}; correct the value or the field's type"


class DecodeError(EdakitError):
    """A message arrived that is no event of ours; it goes to the dead letters with this reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"the message cannot be read as an event: {self.reason}; its producer must send CloudEvents with a JSON body"


class MessageTooLargeError(EventValueError):
    """The encoded event is larger than the bus allows; nothing was sent."""

    def __init__(self, event: str, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        EventValueError.__init__(self, event, f"its body has {size:,} bytes, at most {limit:,} are allowed (max_body=)")
        self.args = (event, size, limit)


class HandlerConflictError(EdakitError):
    """A component was given a second, different handler for one event."""

    def __init__(self, component: str, event: str, known: str, found: str) -> None:
        self.component, self.event, self.known, self.found = component, event, known, found
        super().__init__(component, event, known, found)

    def __str__(self) -> str:
        return (
            f"component {self.component!r} handles {self.event!r} with {self.known} already and was given {self.found}; "
            "do both in one handler, or give the second one a component of its own"
        )


class HandlerCountError(EdakitError):
    """A command was sent that has no handler, or more than one."""

    def __init__(self, command: str, components: Iterable[str]) -> None:
        self.command, self.components = command, tuple(components)
        super().__init__(command, self.components)

    def __str__(self) -> str:
        if not self.components:
            return f"no component handles the command {self.command!r}; add one with @component.on, or publish an Event instead"
        found = ", ".join(self.components)
        return f"the command {self.command!r} has {len(self.components)} handlers ({found}); a command needs exactly one: keep one, or publish an Event"


class UnroutableEventError(EdakitError):
    """An event was published that no queue is bound to receive."""

    def __init__(self, routing_key: str, patterns: Iterable[str]) -> None:
        self.routing_key, self.patterns = routing_key, tuple(patterns)
        super().__init__(routing_key, self.patterns)

    def __str__(self) -> str:
        bound = ", ".join(map(repr, self.patterns)) or "none"
        return f"no queue is bound to {self.routing_key!r} (bound: {bound}); bind one, correct the key, or publish without must_route"


class QueueFullError(EdakitError):
    """A bounded queue has no room for one more event; nothing was sent to any queue."""

    def __init__(self, queue: str, bound: int, waited: float = 0.0, policy: str = "raise") -> None:
        self.queue, self.bound, self.waited, self.policy = queue, bound, waited, policy
        super().__init__(queue, bound, waited, policy)

    def __str__(self) -> str:
        waited = f" and stayed full for {self.waited:g} s" if self.waited else ""
        # A queue that drops has no room for a redrive only.
        drops = self.policy.startswith("drop")
        advice = "let some be handled, then redrive" if drops else "publish slower, add workers, raise bound=, or choose when_full='drop newest'"
        return f"queue {self.queue!r} holds {self.bound} events, its bound{waited}; {advice}"


class BrokerURLError(EdakitError, ValueError):
    """The address of a broker cannot be read, or names a broker that edakit does not offer."""

    def __init__(self, url: str, problem: str) -> None:
        self.url, self.problem = url, problem
        super().__init__(url, problem)

    def __str__(self) -> str:
        return f"broker {self.url!r}: {self.problem}"


class BrokerError(EdakitError):
    """The broker could not do what it was asked; nothing of it was done."""

    def __init__(self, broker: str, problem: str, advice: str) -> None:
        self.broker, self.problem, self.advice = broker, problem, advice
        super().__init__(broker, problem, advice)

    def __str__(self) -> str:
        return f"{self.broker}: {self.problem}; {self.advice}"


class PermissionDeniedError(BrokerError):
    """The broker knows the user, who may not do this; nothing of it was done."""

    def __init__(self, broker: str, user: str, doing: str, resource: str) -> None:
        self.user, self.doing, self.resource = user, doing, resource
        who = f"user {user!r}" if user else "who connects without a user"
        BrokerError.__init__(self, broker, f"{who} may not {doing}: {resource}", "ask who runs the broker for the right, or name another user in the address")
        self.args = (broker, user, doing, resource)


class UncertainError(BrokerError):
    """The broker was lost before it said whether it has the event: it may or may not be delivered. To publish it again may deliver it twice."""


class InboxError(BrokerError):
    """The database of an inbox could not be used: nothing of what a handler did was written, and its event comes again."""


class ForkedError(EdakitError):
    """What another process had opened was used after a fork."""

    def __init__(self, what: str, opened: int, used: int) -> None:
        self.what, self.opened, self.used = what, opened, used
        super().__init__(what, opened, used)

    def __str__(self) -> str:
        return (
            f"{self.what} was opened by process {self.opened} and is used in process {self.used}, its fork; "
            "open it in the new process only, not before the fork (multiprocessing: choose the start method 'spawn')"
        )


class CapabilityError(EdakitError):
    """Something was asked of a broker that it cannot do."""

    def __init__(self, broker: str, asked: str, instead: str) -> None:
        self.broker, self.asked, self.instead = broker, asked, instead
        super().__init__(broker, asked, instead)

    def __str__(self) -> str:
        return f"{self.broker} cannot do this: {self.asked}; {self.instead}"


class ClosedError(EdakitError):
    """Something was used after it had been closed."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what} is closed; make a new one (in a notebook: run the cell that makes it again)"


class UnknownComponentError(EdakitError, KeyError):
    """No component of this name belongs to the app."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(name, self.known)

    def __str__(self) -> str:
        return f"no component is called {self.name!r} (known: {', '.join(self.known) or 'none'}); correct the name, or app.add() the component"


class VirtualTimeError(EdakitError):
    """Something was asked that does not go with the clock in use."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class WaitTimeoutError(EdakitError, TimeoutError):
    """What was waited for did not happen in time."""

    def __init__(self, awaited: str, timeout: float, seen: str) -> None:
        self.awaited, self.timeout, self.seen = awaited, timeout, seen
        super().__init__(awaited, timeout, seen)

    def __str__(self) -> str:
        return f"{self.awaited} did not happen within {self.timeout:g} s ({self.seen}); is its component started, and not paused?"
