"""`kafka://` and `kafkas://`: where their link is, and what to install for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edakit.errors import BrokerError
from edakit.transports.link import Link

__all__ = ["open_link"]


def open_link(address: Any, now_ns: Callable[[], int]) -> Link:
    """Connect to the cluster at *address*; see `address.parse_url`.

    Raises:
        BrokerError: confluent-kafka is not installed, or the cluster does not answer, or refuses us.
    """
    try:
        from edakit.transports.kafka_link import KafkaLink  # noqa: PLC0415 (an optional extra: asked for when it is needed)
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise BrokerError(f"{address.scheme}://", "the library confluent-kafka is not installed", 'install it with: pip install "edakit[kafka]"') from None
    return KafkaLink(address, now_ns)
