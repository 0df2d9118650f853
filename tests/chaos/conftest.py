"""The stage of every disaster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.stage import Stage


@pytest.fixture
async def stage(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.raised(database_url, valkey_url, tmp_path) as stage:
        yield stage
