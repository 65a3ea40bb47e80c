"""A peer's two processes, publisher and consumer, as the bench drives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.brokers.plan import Peer

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / ".venv-bench"
"""Where `make bench-brokers` installs the peers."""


def python_of_peers() -> str:
    """Return the Python that has the peers."""
    return str(ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin") / "python")


PATIENCE = 120.0
"""How long an answer may take [s]."""


class SideError(Exception):
    """A peer's process ended."""


class Side:
    """One process; `tell` it, then `hear` it."""

    def __init__(self, peer: Peer, url: str, log: Any) -> None:
        self.peer = peer
        python = sys.executable if peer.module == "ours" else python_of_peers()
        command = [python, "-m", "tests.bench.brokers.side", peer.module, url]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ)

    def tell(self, **order: Any) -> None:
        """Have an order carried out."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            SideError: there is none.
        """
        assert self._process.stdout is not None
        watch = threading.Timer(PATIENCE, self._process.kill)
        watch.start()
        line = self._process.stdout.readline()
        watch.cancel()
        if not line:
            raise SideError(f"{self.peer.name} ended with {self._process.wait(10)}, or said nothing for {PATIENCE:g} s")
        return json.loads(line)

    def ask(self, **order: Any) -> dict[str, Any]:
        """Tell and hear."""
        self.tell(**order)
        return self.hear()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._process.stdout.close()


@contextmanager
def sides(peers: tuple[Peer, ...], url: str, log: Path) -> Iterator[dict[str, tuple[Side, Side]]]:
    """Give the publisher and the consumer of each peer; what they say on the side goes to *log*."""
    with log.open("a") as written:
        opened = {peer.name: (Side(peer, url, written), Side(peer, url, written)) for peer in peers}
        try:
            for both in opened.values():
                for side in both:
                    side.hear()
            yield opened
        finally:
            for both in opened.values():
                for side in both:
                    side.close()
