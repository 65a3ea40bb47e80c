"""The checks of the exercises, one module a chapter: `from edakit.classroom.checks.ch00 import check_00_1`.

Each module's documentation says what an answer looks like; chapters and tests follow it.
"""
