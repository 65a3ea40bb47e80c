"""A worker of the shop from which one thing is left out that its guarantee rests on: python -m tests.chaos.careless_worker WHAT COMPONENT …"""

from __future__ import annotations

import sys

from edakit import worker
from edakit.cli import main


def forget():
    """Begin with nothing, as if what the killed one knew were lost."""
    worker.restore = lambda *_: 0


def barge_in():
    """Do not wait until the killed one's consumer has gone, and what it had taken is back."""
    free = iter([[]])
    worker.wait_until_free = lambda *_: None
    worker.served = lambda _, names: next(free, names)


if __name__ == "__main__":
    _, what, *words = sys.argv
    {"forget": forget, "barge in": barge_in}[what]()
    sys.exit(main(["worker", *words]))
