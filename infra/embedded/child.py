"""A child process that is stopped with its owner: by `stop`, or by the kernel when the owner itself is killed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

SERVANT = "nobody"
"""Whom root becomes for engines that refuse root: exists everywhere, owns nothing, need not be created."""


class EngineError(Exception):
    """An engine is missing, or did not start; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a child runs as: ourselves, or, when we are root and the child refuses that, `SERVANT`."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def not_root(cls) -> Identity:
        if os.geteuid() != 0:
            return cls()
        entry = pwd.getpwnam(SERVANT)
        return cls(entry.pw_uid, entry.pw_gid)

    def own(self, path: Path) -> None:
        """Give a file or directory to this identity."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def leashed(argv: Sequence[str], *, on_owner_death: signal.Signals, identity: Identity | None = None) -> list[str]:
    """The command line that runs `argv` under `identity`, signalled by the kernel when its parent dies.

    Linux only, through util-linux's setpriv(1); elsewhere `argv` as it is. Root's right to pass any directory
    (CAP_DAC_OVERRIDE) goes along, since the engine's files may well lie below root's closed home directory.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        return list(argv)
    leash = [setpriv, "--pdeathsig", on_owner_death.name.removeprefix("SIG")]
    if identity is not None and identity.uid is not None:
        leash += ["--reuid", str(identity.uid), "--regid", str(identity.gid), "--clear-groups"]
        leash += ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return [*leash, *argv]


class Child:
    """One running engine. Its output goes to a log file; it is in a session of its own, so Ctrl-C does not reach it."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        stop_signal: signal.Signals,
        identity: Identity | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment`: what is added to ours."""
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        command = leashed(argv, on_owner_death=stop_signal, identity=identity)
        unleashed_user = identity.uid if identity and command == list(argv) else None
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    user=unleashed_user,
                    env={**os.environ, **(environment or {})},
                    cwd="/",
                )
        except OSError as error:
            raise EngineError(f"{name} did not start: {error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Return when `ready` says so; raises `EngineError` when the child ends or time runs out first."""
        give_up_at = monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise EngineError(f"{self.name} did not start: {self.last_words()}")
            if monotonic() > give_up_at:
                self.stop()
                raise EngineError(f"{self.name} was not ready after {timeout_s:g} s; its log is {self.log}")
            sleep(0.01)

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Ask it to stop, and kill it when it has not within `timeout_s`. Harmless when it has stopped."""
        for ask, patience_s in ((self._stop_signal, timeout_s), (signal.SIGKILL, None)):
            if not self.running:
                return
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(ask)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue

    def wait(self, *, timeout_s: float) -> None:
        self._process.wait(timeout_s)

    def last_words(self) -> str:
        """The most telling line of its log, for an error message."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        telling = [line for line in lines if "FATAL" in line or "rror" in line]
        return (telling or lines or ["it wrote nothing"])[-1].strip()


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
