"""Fixtures for every test: engines once per test process, clean data for each test."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from infra.embedded.valkey_cluster import EmbeddedCluster
from tests.support.engines import Engines

# Examples are judged by what they do, not by how busy the machine is.
settings.register_profile("eyeline", deadline=None, print_blob=True)
settings.load_profile("eyeline")


def pytest_collection_finish() -> None:
    """Thousands of tests are no garbage: whoever looks for some need not go through them each time."""
    gc.collect()
    gc.freeze()


MEMORY = Path("/dev/shm")
"""Where files cost no disk: a database has three hundred, made and deleted for each test."""
MEMORY_BYTES = 2 << 30


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """Postgres and Valkey of this test process, with a migrated template database."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    with tempfile.TemporaryDirectory(prefix="eyeline-tests-", dir=MEMORY if roomy else None) as directory:
        engines = Engines(Path(directory))
        try:
            engines.start()
            yield engines
        finally:
            engines.stop()


@pytest.fixture
async def database_url(engines: Engines) -> AsyncIterator[str]:
    """A migrated database of this test's own."""
    engines.restore()
    url = await engines.new_database()
    yield url
    engines.restore()
    await engines.drop_database(url)


@pytest.fixture
async def valkey_url(engines: Engines) -> str:
    """The Valkey of this test process, emptied."""
    engines.restore()
    return await engines.empty_valkey()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """Three Valkey primaries and three replicas of this test process."""
    cluster = EmbeddedCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster_url(cluster: EmbeddedCluster) -> str:
    """The cluster of this test process, whole and emptied."""
    cluster.restore()
    cluster.heal()
    cluster.empty()
    return cluster.url
