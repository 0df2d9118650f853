"""What the embedded engines have in common: a child process that listens on a free loopback port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from infra.embedded.child import Child, EngineError, free_port


class Engine(ABC):
    """One engine with its files in `directory`."""

    name: ClassVar[str]
    port_taken: ClassVar[str]
    """A word of its log when somebody else took the port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._port = 0
        self._child: Child | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it, under the same port as before if that is free, and wait until it answers. Raises `EngineError`."""

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    @property
    def child(self) -> Child:
        if self._child is None:
            raise EngineError(f"{self.name} has not been started")
        return self._child

    @property
    def port(self) -> int:
        return self._port

    def _launch_on_a_free_port(self) -> None:
        for attempt in (1, 2, 3):
            self._port = self._port if self._port and attempt == 1 else free_port()
            try:
                self._launch()
                return
            except EngineError as error:
                if attempt == 3 or self.port_taken not in str(error):
                    raise

    @abstractmethod
    def _launch(self) -> None:
        """Start the child, on `port`, and wait until it answers."""
