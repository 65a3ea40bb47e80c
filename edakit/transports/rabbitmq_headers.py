"""CloudEvents attributes of other producers on RabbitMQ, under the names and in the form that the codec knows.

Source:
    "AMQP Protocol Binding for CloudEvents 1.0.2", section 3.1.3: prefix `cloudEvents_` or `cloudEvents:`, `time` as text or as a number of milliseconds.
    "RabbitMQ Protocol Binding for CloudEvents" (Knative), which the cloudevents package writes too: prefix `ce-`, all texts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from edakit.codec import rfc3339
from edakit.events import TIME, TYPE

__all__ = ["known_headers"]

_OURS, _OTHERS = "cloudEvents_", ("cloudEvents:", "ce-")
_LAST_MS: Final = 253_402_300_800_000  # the year 10000 begins [ms]


def known_headers(headers: dict[str, Any]) -> dict[str, Any]:
    """Return *headers* with the names and the time that the codec knows; what cannot be read stays as it is, and whoever checks it says so."""
    if TYPE in headers and isinstance(headers.get(TIME, ""), str):
        return headers
    found = {_name(name): value for name, value in headers.items()}
    if TIME in found:
        found[TIME] = _text(found[TIME])
    return found


def _name(name: str) -> str:
    for prefix in _OTHERS:
        if name.startswith(prefix):
            return _OURS + name.removeprefix(prefix)
    return name


def _text(time: Any) -> Any:
    if isinstance(time, datetime):  # AMQP's own timestamp: whole seconds, UTC
        time = int(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)
    if isinstance(time, int) and not isinstance(time, bool) and 0 <= time < _LAST_MS:
        return rfc3339(time * 1_000_000)
    return time
