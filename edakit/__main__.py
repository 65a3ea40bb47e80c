"""`python -m edakit` is the command `edakit`."""

from __future__ import annotations

import sys

from edakit.cli import main

if __name__ == "__main__":
    sys.exit(main())
