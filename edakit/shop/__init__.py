"""The online shop: a language, components that react to each other's events, shoppers, and a real shop's recorded days."""

from __future__ import annotations

# Chapter 00: your first event
from edakit.shop.app import COMPONENTS, TAKES, Shop, ShopState, build_shop, state_hash
from edakit.shop.catalogue import Catalogue, Product
from edakit.shop.events import (
    AddItem,
    CartItemAdded,
    CartItemRemoved,
    CartViewed,
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
    ProductListViewed,
    ProductPriceChanged,
    ProductViewed,
    RemoveItem,
    StockRejected,
    StockReleased,
    StockReserved,
)

# Chapters 05 and 06: measure it properly, queues under load
from edakit.shop.shoppers import JOURNEY, Shoppers

__all__ = [
    "COMPONENTS",
    "JOURNEY",
    "TAKES",
    "AddItem",
    "CartItemAdded",
    "CartItemRemoved",
    "CartViewed",
    "Catalogue",
    "CheckOut",
    "CheckoutStarted",
    "OrderCancelled",
    "OrderConfirmed",
    "OrderLine",
    "OrderPlaced",
    "OrderReturned",
    "PaymentAuthorized",
    "PaymentFailed",
    "PaymentRefunded",
    "Product",
    "ProductListViewed",
    "ProductPriceChanged",
    "ProductViewed",
    "RemoveItem",
    "Shop",
    "ShopState",
    "Shoppers",
    "StockRejected",
    "StockReleased",
    "StockReserved",
    "build_shop",
    "state_hash",
]
