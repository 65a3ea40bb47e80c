"""Widgets: one file each, bounded controls with units around one pure function that the chapter also calls without them.

A widget's state is its traits. Its outermost element has the class `edakit-<name>`; an empty one says what to do.
"""

from __future__ import annotations

__all__: list[str] = []
