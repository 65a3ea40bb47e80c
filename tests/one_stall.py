"""The shop of chapter 05, and a tester's request, for tests."""

from __future__ import annotations

from edakit import LogNormal
from edakit.shop import AddItem, build_shop

__all__ = ["press", "shop"]


def shop(**options):
    """Build a shop that has a cart and a badge."""
    return build_shop(components=["cart", "badge"], takes={"cart": LogNormal(mean=0.0012, scv=0.06)}, **options)


def press(number, random):
    """Press *Add to cart*, each time in another cart."""
    return AddItem(cart_id=f"c-{number}", product_id="1001")
