"""The same shop on every broker that is here: chapter 07, and the recording that it shows where a broker is missing.

`edakit record` runs it on all four and saves the runs; `python -m edakit record --help`.
"""

# A command line prints.
# ruff: noqa: T201

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Final
from uuid import uuid4

import msgspec

import edakit
from edakit.brokers import BrokerNotRunningError, Kafka, answering
from edakit.bus import EXCHANGE, Bus
from edakit.delivery import dead_queue
from edakit.events import Command, Event
from edakit.measuring import Each, Poisson, Run, Steady, compare, measure, save_recording
from edakit.shop.app import Shop, build_shop, state_hash
from edakit.shop.events import AddItem, CartViewed, CheckOut, ProductViewed, RemoveItem
from edakit.transports.address import parse_url, within

__all__ = ["ADDRESSES", "RECORDED", "add_arguments", "addresses", "click", "kept", "leave", "run", "run_on"]

ADDRESSES: Final = {"memory": "memory://", "sqlite": "sqlite:///shop.db", "RabbitMQ": "amqp://", "Kafka": "kafka://"}
"""The four brokers by name, and how the address of each begins."""

RECORDED: Final = Path("data") / "brokers"
"""Where the recording is, in the course's folder."""

RATE, SECONDS, SEED = 100, 2, 7  # clicks [1/s], for how long [s], and of what is drawn; chapter 07 has the same


OWN: Final = "ch07-"
"""How the namespaces begin that are made here."""


def click(number: int, random: Random) -> Event | Command:
    """Return click *number*, from 0: each shopper makes five. Every third leaves a full cart behind, the others check out."""
    shopper, step = divmod(number, 5)
    cart, products = f"c-{shopper}", [str(1001 + (shopper + more) % 7) for more in (0, 1)]
    clicks: list[Event | Command] = [
        ProductViewed(cart_id=cart, product_id=products[0]),
        AddItem(cart_id=cart, product_id=products[0], quantity=1 + random.randrange(3)),
        AddItem(cart_id=cart, product_id=products[1]),
        RemoveItem(cart_id=cart, product_id=products[1]),
        CartViewed(cart_id=cart) if shopper % 3 == 0 else CheckOut(cart_id=cart),
    ]
    return clicks[step]


def addresses(folder: str | Path) -> dict[str, str]:
    """Return the addresses of the brokers that answer on this machine, by name; nothing is started.

    Each has a namespace of its own, so that nothing of an earlier run is there.

    Args:
        folder: Where the file of `sqlite://` is to be.
    """
    own = f"{OWN}{uuid4().hex[:8]}"
    found = {"memory": ADDRESSES["memory"], "sqlite": f"sqlite:///{Path(folder, own).as_posix()}.db"}
    if rabbitmq := answering("rabbitmq"):
        found["RabbitMQ"] = within(rabbitmq, own)
    if find_spec("confluent_kafka") and (kafka := answering("kafka")):
        found["Kafka"] = within(kafka, own) + ("" if "partitions=" in kafka else "&partitions=3")
    return found


def leave(shop: Shop) -> None:
    """Close the shop; what RabbitMQ keeps for it goes too, if `addresses` made its namespace. A file stays, and so do Kafka's topics."""
    shop.close()
    if shop.broker.startswith("amqp") and OWN in parse_url(shop.broker).namespace:
        with closing(Bus(shop.broker)) as bus:
            channel = bus.connect().channel()
            for name in shop.components:
                channel.queue_delete(name)
                channel.queue_delete(dead_queue(name))
            channel.exchange_delete(EXCHANGE)


def kept(shop: Shop) -> str:
    """Return the first 12 digits of a SHA-256 over all carts, orders and read models: equal for two shops that have come to the same end."""
    state, most = shop.state, 1_000_000
    counts = [state.badge.pieces, state.best_sellers.pieces, state.product_list.shown, state.product_detail.shown, state.cart_view.shown]
    views = [state.cart_view.carts.lines, *(count.most(most) for count in counts)]
    return hashlib.sha256(state_hash(shop).encode() + msgspec.json.encode(views, order="deterministic")).hexdigest()[:12]


def run_on(url: str, *, seed: int = SEED) -> tuple[Run, str]:
    """Let the clicks come to a shop on the broker at *url*; return the run, and what `kept` says in the end."""
    shop = build_shop(takes={}, broker=url)
    try:
        found = measure(shop, Each(Poisson(RATE, SECONDS), click), first=Each(Steady(RATE, 0.3), click), clock="wall", seed=seed)
        return found, kept(shop)
    finally:
        leave(shop)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edakit record`."""
    parser.add_argument("--folder", type=Path, default=RECORDED, help="where to save the runs (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the shop on all four brokers, and save what was seen; 1 only where there is an error, which the caller explains."""
    with tempfile.TemporaryDirectory() as folder:
        found = addresses(folder)
        if missing := [name for name in ADDRESSES if name not in found]:
            raise BrokerNotRunningError(missing[0])
        software = _software(found["RabbitMQ"])
        seen = {name: run_on(url) for name, url in found.items()}
    for name, (measured, _) in seen.items():
        measured.broker = ADDRESSES[name]  # the address of this machine is nobody's business
    about = {name: {"software": software[name], "kept": state} for name, (_, state) in seen.items()}
    runs = {name: measured for name, (measured, _) in seen.items()}
    save_recording(runs, about, arguments.folder, command="python -m edakit record", day=f"{datetime.now(UTC):%Y-%m-%d}", machine=_machine())
    print(compare(runs))
    return 0


def _software(rabbitmq: str) -> dict[str, str]:
    bus = Bus(rabbitmq)
    connection = bus.connect()
    connection.connect()
    version = connection.connection.server_properties.get("version", "of an unknown version")
    bus.close()
    ours = f"edakit {edakit.__version__}"
    kafka = Kafka.find().stem.rpartition("-")[2]
    return {"memory": ours, "sqlite": f"SQLite {sqlite3.sqlite_version}", "RabbitMQ": f"RabbitMQ {version}", "Kafka": f"Apache Kafka {kafka}"}


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, brokers on the same machine"
