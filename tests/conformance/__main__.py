"""python -m tests.conformance: ask kombu's own transports what ours promise, and save the answers as data/conformance.csv."""

from __future__ import annotations

from tests.conformance.stock import ROOT, table

(ROOT / "data" / "conformance.csv").write_text(table(), encoding="utf-8")
