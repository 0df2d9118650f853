"""The emulator of this test process, and a node that believes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.firebase.emulator import FOLDER, PROJECT, Emulator
from tests.support.nodes import Node


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """These tests need npm and hundreds of packages: only who names this folder runs them."""
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(FOLDER) for path in asked) else True


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("firebase"))
    yield emulator
    emulator.stop()


@pytest.fixture
async def node(emulator: Emulator, database_url: str, valkey_url: str) -> AsyncIterator[Node]:
    settings = {
        "FIREBASE_AUTH_EMULATOR_HOST": emulator.host,
        "EYELINE_FIREBASE_PROJECT": PROJECT,
        "EYELINE_FIREBASE_SIGN_IN": "true",
    }
    async with await Node.start(database_url, valkey_url, also=settings) as node:
        yield node
