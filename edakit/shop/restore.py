"""What the components of the shop keep, rebuilt from what was published: a worker begins where the last one ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edakit.component import Component
from edakit.replay import Replayed
from edakit.shop.app import Shop
from edakit.shop.events import ProductPriceChanged

__all__ = ["DECIDERS", "restore"]

DECIDERS: Final = ("cart", "orders", "stock", "payment")
"""Components that answer with events. What they have decided stands in the journal; it is applied, and not decided again."""


def restore(shop: Shop, names: Iterable[str], past: Iterable[Replayed]) -> int:
    """Bring what the components of *shop* with these *names* keep to where the *past* has left it; return how many events there were.

    A decider's own events are applied to its state, and their causes are handled already: its inbox knows them. So a command that a killed worker had
    answered and not acked has no second answer. Read models publish nothing: for them the past is handled as any event is.
    """
    number, components = 0, [shop.components[name] for name in names]
    for number, each in enumerate(past, 1):  # noqa: B007 (the last one is returned)
        for component in components:
            if component.name in DECIDERS and not isinstance(each.event, ProductPriceChanged):
                _decided(shop, component, each)
            elif handler := component.handlers.get(each.context.type):
                handler.function(each.event, each.context)
                _remember(component, each.context.id)
    return number


def _decided(shop: Shop, component: Component, each: Replayed) -> None:
    getattr(shop.state, component.name).apply(each.event)
    if each.context.source == component.name:
        _remember(component, each.context.causation_id)


def _remember(component: Component, event_id: str | None) -> None:
    if component.inbox is not None and event_id is not None:
        component.inbox.add(event_id)
