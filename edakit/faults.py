"""What can go wrong, on purpose and from a seed: crashes at named points, duplicates, delays that reorder."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from edakit.checks import choice, expect
from edakit.clock import real, to_ns
from edakit.delivery import Crash, Delivery, Hooks, Postpone
from edakit.distributions import Distribution
from edakit.errors import InvalidValueError

__all__ = ["CrashPoint", "Faults"]


@dataclass(frozen=True)
class CrashPoint:
    """A worker of *component* dies at a *point* of its deliveries.

    Args:
        component: Whose worker.
        point: received, started, handled (the work is done, the ack is not) or acked.
        nth: At which of the deliveries that reach the point, from 1; 0 for each with a probability of *share*.
        share: Probability for `nth=0` [1].
    """

    component: str
    point: str
    nth: int = 1
    share: float = 0.0

    def __post_init__(self) -> None:
        expect("component", self.component, str, "the name of a component, such as 'stock'")
        choice("point", self.point, *Hooks.POINTS[:4])
        if not isinstance(self.nth, int) or self.nth < 0 or not 0 <= real(self.share) <= 1 or (self.nth and self.share):
            raise InvalidValueError("nth and share", (self.nth, self.share), "nth of 1 or more, or nth=0 with a share from 0 to 1")


class Faults:
    """A plan of faults. The same seed does the same harm.

    Args:
        crashes: Where workers die.
        restart_after: How long a worker is gone, and what it held invisible [s].
        duplicate: Share of deliveries whose event comes a second time, with the same id [1].
        delayed: Share of deliveries that come later, so that others overtake them [1].
        delay: By how much.
        components: Whom duplicates and delays hit; None for all.
    """

    def __init__(
        self,
        *crashes: CrashPoint,
        restart_after: float = 1.0,
        duplicate: float = 0.0,
        delayed: float = 0.0,
        delay: Distribution | None = None,
        components: frozenset[str] | None = None,
    ) -> None:
        if not (0 <= real(duplicate) <= 1 and 0 <= real(delayed) <= 1):
            raise InvalidValueError("duplicate and delayed", (duplicate, delayed), "shares from 0 to 1")
        for crash in crashes:
            expect("a crash", crash, CrashPoint, "a CrashPoint, such as CrashPoint('stock', 'handled')")
        expect("delay", delay, Distribution | None, "a distribution such as Constant(0.5) or Exponential(0.5)")
        expect("components", components, list | tuple | set | frozenset | None, "names of components in a set, such as {'stock'}")
        if bool(delayed) != (delay is not None):
            raise InvalidValueError("delayed and delay", (delayed, delay), "both or neither")
        self.crashes, self.restart_ns = crashes, to_ns(restart_after)
        self.duplicate, self.delayed, self.delay, self.components = duplicate, delayed, delay, components

    def install(self, hooks: Hooks, seed: object) -> None:
        """Begin to do harm at *hooks*."""
        for number, crash in enumerate(self.crashes):
            hooks.on(crash.point, _Crasher(crash, self.restart_ns, Random(f"{seed}/crash/{number}")))
        if self.duplicate or self.delayed:
            hooks.on("received", _Meddler(self, Random(f"{seed}/faults")))


class _Crasher:
    def __init__(self, crash: CrashPoint, restart_ns: int, random: Random) -> None:
        self.crash, self.restart_ns, self.random, self.reached = crash, restart_ns, random, 0

    def __call__(self, component: str, delivery: Delivery) -> None:  # noqa: ARG002 (a hook's signature)
        if component != self.crash.component:
            return
        self.reached += 1
        if self.reached == self.crash.nth or (not self.crash.nth and self.random.random() < self.crash.share):
            raise Crash(self.restart_ns)


class _Meddler:
    """Each event is duplicated once and delayed once at most: a copy is left alone."""

    def __init__(self, faults: Faults, random: Random) -> None:
        self.faults, self.random = faults, random
        self.seen: set[tuple[str, str]] = set()

    def __call__(self, component: str, delivery: Any) -> None:
        faults = self.faults
        if (faults.components is not None and component not in faults.components) or (component, delivery.id) in self.seen:
            return
        self.seen.add((component, delivery.id))
        if self.random.random() < faults.duplicate:
            delivery.message.duplicate()
        if faults.delay is not None and self.random.random() < faults.delayed:
            raise Postpone(faults.delay.draw(self.random))
