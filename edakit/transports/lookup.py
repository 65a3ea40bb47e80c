"""The name of a server's host, looked up within bounds: the system's own lookup may take 20 s, and a client blocks, or even ends, no sooner."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from typing import Final

__all__ = ["look_up"]

_WAIT: Final = 4.0
"""How long a lookup may take [s]."""


def look_up(host: str) -> None:
    """Make sure that *host* is known; clients look it up again.

    Raises:
        OSError: it is not, or nobody said so in time.
        UnicodeError: it can be no host, as a..b.
    """
    known: Future[object] = Future()

    def ask() -> None:
        try:
            known.set_result(socket.getaddrinfo(host, None))
        except (OSError, UnicodeError) as error:
            known.set_exception(error)

    # Nothing ends a lookup, so it is left alone when it takes too long.
    threading.Thread(target=ask, name="edakit lookup", daemon=True).start()
    try:
        known.result(_WAIT)
    except TimeoutError:
        raise TimeoutError(f"the name {host!r} could not be resolved within {_WAIT:g} s") from None
