"""`edakit shop state`: what a shop has come to whose components run in other processes.

Nobody is asked, so nobody has to run: the state is the sum of what was published, and the broker has kept that (`edakit.shop.journal`). The hash is the one
that `edakit playback` prints in virtual time.
"""

# A command line prints.
# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path

from edakit.bus import Bus
from edakit.errors import BrokerError, EdakitError
from edakit.shop.app import Shop, build_shop, state_hash
from edakit.shop.journal import past
from edakit.shop.restore import DECIDERS, restore
from edakit.transports.address import require

__all__ = ["add_arguments", "run", "shop_at"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit shop`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    state = actions.add_parser("state", help="print a hash of all carts and orders", description="Print a hash of all carts and orders.")
    state.add_argument("--broker", metavar="URL", help="address of the broker (default: $EDAKIT_BROKER)")


def run(arguments: argparse.Namespace) -> int:
    """Print what the shop has come to; return the exit status: 0, 2 for an error that is explained."""
    try:
        shop, number = shop_at(arguments.broker or os.environ.get("EDAKIT_BROKER") or "memory://")
    except EdakitError as error:
        print(f"edakit shop: {error}", file=sys.stderr)
        return 2
    orders = ", ".join(f"{count:,} {status}" for status, count in shop.state.orders.counts().items() if count) or "none"
    print(f"events {number:,}\ncarts  {sum(map(bool, shop.state.cart.lines.values())):,} with something in them\norders {orders}\nstate  {state_hash(shop)}")
    return 0


def shop_at(url: str) -> tuple[Shop, int]:
    """Return a shop with the carts, orders, stock and payments that what was published has led to, and the number of events; it serves nothing.

    Raises:
        CapabilityError: the broker at *url* lives in one process.
        BrokerURLError, BrokerError: as for `Bus`.
    """
    address = require(url, virtual=False)
    address.broker.need("processes", "look at the shop of another process")
    if address.scheme == "sqlite" and not Path(address.name).exists():  # a look would make it, and a misspelt name would be an empty shop
        raise BrokerError(f"sqlite:///{address.name}", "there is no such file", "correct the name; workers make the file when they start")
    shop = build_shop(components=DECIDERS, broker="memory://")
    with closing(Bus(url)) as bus:
        return shop, restore(shop, DECIDERS, past(bus))
