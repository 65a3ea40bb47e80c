"""A worker of the shop from which one thing is left out that its guarantee rests on: python -m tests.chaos.careless_worker WHAT COMPONENT …"""

from __future__ import annotations

import sys

from edakit import worker
from edakit.cli import main

if __name__ == "__main__":
    _, what, *words = sys.argv
    # forget: begin with nothing, as if what the killed one knew were lost. barge in: do not wait until what it had taken is back.
    setattr(worker, *{"forget": ("restore", lambda *_: 0), "barge in": ("_wait_until_free", lambda *_: None)}[what])
    sys.exit(main(["worker", *words]))
