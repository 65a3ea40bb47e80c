"""What several tests need."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def online_retail():
    """The path of the real shop's data; a test that needs it fails where it is required, and skips with a reason elsewhere."""
    path = Path(os.environ.get("EDAKIT_ONLINE_RETAIL") or "not-given")
    if not path.is_file():
        if "online-retail" in os.environ.get("EDAKIT_REQUIRE", "").split(","):
            pytest.fail("EDAKIT_REQUIRE names online-retail: set EDAKIT_ONLINE_RETAIL to the file")
        pytest.skip("Online Retail is not here: set EDAKIT_ONLINE_RETAIL to the file (data/README.md says where it comes from)")
    return path
