"""What all tests share: the question whether this machine can run a cluster at all."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def machine() -> None:
    """Skips, and says why, where no pocket cluster can run."""
    from tests.pocket.running import unsupported

    why = unsupported()
    if why:
        pytest.skip(f"this machine can run no pocket cluster: {why}")
