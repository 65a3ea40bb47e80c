"""What speaks at a port: Kafka with TLS or without. librdkafka tells a wrong choice from a cluster that is away by a guess, or not at all."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Final

__all__ = ["speaks_plainly", "speaks_tls"]

_WAIT: Final = 1.0
"""How long an answer may take [s]."""

_NUMBER: Final = 20_260
# An ApiVersions request of version 0, which every listener answers, before it asks who we are: key, version, correlation id, no client id.
_QUESTION: Final = struct.pack(">ihhih", 10, 18, 0, _NUMBER, -1)


def speaks_plainly(name: str) -> bool:
    """Whether a Kafka without TLS answers at *name* (host:port)."""
    try:
        with _connect(name) as plain:
            plain.sendall(_QUESTION)
            answer = plain.recv(8)
    except OSError:
        return False
    return len(answer) == 8 and struct.unpack(">ii", answer)[1] == _NUMBER  # noqa: PLR2004 (its size, and the correlation id)


def speaks_tls(name: str) -> bool:
    """Whether something with TLS answers at *name* (host:port), whoever it is: nothing is told to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connect(name) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _connect(name: str) -> socket.socket:
    host, _, port = name.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT)
