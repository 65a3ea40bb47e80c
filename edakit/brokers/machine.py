"""The brokers of this machine: given by the environment, running, or installed and ready to be started."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from edakit.brokers.errors import BrokerNotFoundError, BrokerNotRunningError
from edakit.brokers.folders import abandoned, shared_folder, state_folder, temporary_folder
from edakit.brokers.kafka import Kafka
from edakit.brokers.node import Node
from edakit.brokers.processes import exclusively, kill
from edakit.brokers.rabbitmq import RabbitMQ
from edakit.errors import BrokerURLError, InvalidValueError
from edakit.table import Table

__all__ = ["KINDS", "answering", "down", "from_environment", "redacted", "running", "start", "status", "up", "url"]

KINDS: dict[str, type[Node]] = {"rabbitmq": RabbitMQ, "kafka": Kafka}
SCHEMES = {"rabbitmq": {"amqp": 5672, "amqps": 5671}, "kafka": {"kafka": 9092, "kafkas": 9093}}  # each with its usual port


@contextmanager
def running(name: str, *, private: bool = False) -> Iterator[str]:
    """Give the address of a broker for as long as the block lasts: of the environment, of the one that runs, or of one that is started for it.

    Args:
        name: rabbitmq or kafka.
        private: Whether one that `edakit brokers up` started is left alone, because the block does what others should not see.

    Raises:
        BrokerNotFoundError: none was given, none runs, and none is installed.
    """
    if address := from_environment(name) or (None if private else _shared_url(name)):
        yield address
        return
    with start(name) as node:
        yield node.url


def start(name: str, *, settings: Mapping[str, str] | None = None, ports: Sequence[str] = ()) -> Node:
    """Start a node for this process alone; a `with` block stops it and removes its data at the end.

    Args:
        name: rabbitmq or kafka.
        settings: Lines for rabbitmq.conf or server.properties, which come last; `{amqp}` or `{tls}` stands for the port of that purpose.
        ports: Names of further free ports that the settings use.

    Raises:
        BrokerNotFoundError: it is not installed.
        BrokerStartError: it did not come up.
    """
    kind = _kind(name)
    kind.find()
    _sweep()
    node = kind(temporary_folder(name), settings, ports, temporary=True)
    return _started(node, node.erase)


def up(name: str) -> Node | None:
    """Start the node that all programs of the user share, unless it runs; None where the environment gives an address.

    Raises:
        BrokerNotFoundError: it is not installed.
        BrokerStartError: it did not come up.
    """
    if from_environment(name):
        return None
    kind = _kind(name)
    with exclusively(state_folder() / f"{name}.lock"):
        node = kind(shared_folder(name))
        return _started(node, node.kill)


def _started(node: Node, undo: Callable[[], None]) -> Node:
    try:
        node.start()
    except BaseException:  # Ctrl-C as well: nothing may be left behind that nobody knows of
        undo()
        raise
    return node


def down(name: str, *, erase: bool = False) -> bool:
    """Stop the shared node; return whether it ran. What the environment names is not ours to stop.

    Args:
        name: rabbitmq or kafka.
        erase: Whether its data are removed too.
    """
    kind = _kind(name)
    _sweep()
    with exclusively(state_folder() / f"{name}.lock"):
        if not shared_folder(name).is_dir():
            return False
        node = kind(shared_folder(name))
        ran = node.alive
        node.stop()
        if erase:
            node.erase()
        return ran


def url(name: str) -> str:
    """Return the address of the environment, or of the shared node, with user and password.

    Raises:
        BrokerNotRunningError: there is neither.
    """
    if address := from_environment(name) or _shared_url(name):
        return address
    raise BrokerNotRunningError(_kind(name).name)


def answering(name: str) -> str | None:
    """Return the address of the environment, or of the shared node, if a broker answers there; None otherwise. Nothing is started.

    Raises:
        BrokerURLError: the environment names no address of such a broker.
    """
    address = from_environment(name) or _shared_url(name)
    place = _place(name, address) if address else None
    return address if place and _kind(name).answers(*place) else None


def _shared_url(name: str) -> str | None:
    kind = _kind(name)
    with exclusively(state_folder() / f"{name}.lock"):  # one that is starting is waited for
        node = kind(shared_folder(name)) if shared_folder(name).is_dir() else None
        return node.url if node and node.alive else None


def from_environment(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return what $EDAKIT_RABBITMQ or $EDAKIT_KAFKA says.

    Raises:
        BrokerURLError: it is no address of such a broker.
    """
    _kind(name)
    variable = f"EDAKIT_{name.upper()}"
    address = (os.environ if environ is None else environ).get(variable)
    if address and _place(name, address) is None:
        raise BrokerURLError(redacted(address), f"${variable} must be like {' or '.join(f'{scheme}://host:port' for scheme in SCHEMES[name])}")
    return address or None


def status() -> Table:
    """Say of each broker whether it runs, where, and since when; clean up after what has gone. No password is shown."""
    _sweep()
    return Table(("broker", "state", "address", "since"), [_row(name) for name in KINDS])


def _row(name: str) -> tuple[str, str, str, str]:
    kind = _kind(name)
    if address := from_environment(name):
        place = _place(name, address)
        answers = place is not None and kind.answers(*place)
        return kind.name, f"{'answers' if answers else 'does not answer'} ($EDAKIT_{name.upper()})", redacted(address), ""
    with exclusively(state_folder() / f"{name}.lock"):
        return (kind.name, *_shared(name))


def _shared(name: str) -> tuple[str, str, str]:
    node = KINDS[name](shared_folder(name)) if shared_folder(name).is_dir() else None
    if node and node.alive:
        return f"runs, process {node.state.pid}", redacted(node.url), node.state.since
    if node and (gone := node.state.pid):
        node.kill()
        return f"has gone: process {gone} ended without `edakit brokers down`; cleaned up", "", ""
    try:
        KINDS[name].find()
    except BrokerNotFoundError:
        return f"not here; `edakit brokers up {name}` says how to install it", "", ""
    return f"stopped; `edakit brokers up {name}` starts it", "", ""


def _sweep() -> None:
    for _, folder in abandoned():
        kill(str(folder.resolve()))
        shutil.rmtree(folder, ignore_errors=True)  # another program may be sweeping too


def redacted(address: str) -> str:
    """Return *address* without its password, and without a query, which may hold one."""
    scheme = re.match(r"([a-z][a-z0-9+.-]*://)?", address, flags=re.IGNORECASE)
    start = scheme.end() if scheme else 0
    userinfo, at, place = address[start:].rpartition("@")
    user, colon, _ = userinfo.partition(":")
    return f"{address[:start]}{user}{colon and ':***'}{at}{re.split('[?#]', place)[0]}"


def _place(name: str, address: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    usual = SCHEMES[name].get(parts.scheme)
    return (host, port or usual) if host and usual else None


def _kind(name: str) -> type[Node]:
    if name not in KINDS:
        raise InvalidValueError("broker", name, " or ".join(KINDS))
    return KINDS[name]
