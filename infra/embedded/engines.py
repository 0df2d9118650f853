"""Postgres and Valkey of one data directory, started and stopped together, with one owner at a time."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import IO

from infra.embedded.child import EngineError
from infra.embedded.postgres import EmbeddedPostgres
from infra.embedded.valkey import EmbeddedValkey


class EmbeddedEngines:
    """A context manager: inside it both engines run, afterwards neither does."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self.directory = directory
        self.postgres = EmbeddedPostgres(directory / "postgres", durable=durable)
        self.valkey = EmbeddedValkey(directory / "valkey")
        self._lock: IO[str] | None = None

    def start(self, *, fresh: bool = False) -> None:
        """Start both; `fresh` throws away the engines' data first. Raises `EngineError`."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.directory)
            if fresh:
                for engine in (self.postgres, self.valkey):
                    shutil.rmtree(engine.directory, ignore_errors=True)
            self.postgres.start()
            self.valkey.start()
        except OSError as error:
            self.stop()
            raise EngineError(f"cannot use {self.directory}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both. Harmless when they have stopped or never ran."""
        self.valkey.stop()
        self.postgres.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def database_url(self) -> str:
        return self.postgres.url()

    @property
    def valkey_url(self) -> str:
        return self.valkey.url

    def fallen(self) -> str | None:
        """The name of an engine that runs no more, or None while both do."""
        for child in (self.postgres.child, self.valkey.child):
            if not child.running:
                return child.name
        return None

    def __enter__(self) -> EmbeddedEngines:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _locked(directory: Path) -> IO[str]:
    """Hold the directory for this process; the kernel lets go when it ends, however it ends."""
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise EngineError(
            f"{directory} is in use by another eyeline dev; stop that or name another with --data"
        ) from None
    return lock
