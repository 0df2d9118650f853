"""A cluster of embedded Valkeys on loopback: three primaries, each with a replica that takes over when it dies."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import redis

from infra.embedded.child import EngineError, free_port
from infra.embedded.valkey import EmbeddedValkey

SLOTS = 16_384
PRIMARIES = 3
READY_S = 30.0
NODE_TIMEOUT_MS = 1_500
"""After so long without a word a server counts as dead, and its replica takes over."""


class Member(EmbeddedValkey):
    """One server of the cluster. It keeps, on disk, only whom it knows."""

    def __init__(self, directory: Path, *, password: str) -> None:
        super().__init__(directory, password=password)
        self._secret = password
        self.bus_port = free_port()

    def settings(self) -> Sequence[str]:
        return (
            f"dir {self.directory}",
            "cluster-enabled yes",
            f"cluster-port {self.bus_port}",
            f"cluster-node-timeout {NODE_TIMEOUT_MS}",
            "cluster-replica-validity-factor 0",
            "cluster-require-full-coverage no",
            f"primaryauth {self._secret}",
            "repl-diskless-sync-delay 0",
        )

    def ask(self, *command: str | int) -> Any:
        """One command, replies as text. Raises the driver's errors."""
        with redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=2.0, protocol=2) as client:
            return client.execute_command(*command)

    @property
    def running(self) -> bool:
        return self.child.running


class EmbeddedCluster:
    """`start` forms it, `restore` and `heal` make it whole again, `stop` ends all its servers."""

    def __init__(self, directory: Path) -> None:
        password = secrets.token_hex(16)
        self._password = password
        self.members = [Member(directory / str(number), password=password) for number in range(2 * PRIMARIES)]

    @property
    def url(self) -> str:
        """Names the first three servers there were; where the others are they tell."""
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members[:PRIMARIES])
        return f"redis+cluster://:{self._password}@{hosts}"

    def start(self) -> None:
        """Raises `EngineError`."""
        try:
            for member in self.members:
                member.start()
            primaries, replicas = self.members[:PRIMARIES], self.members[PRIMARIES:]
            for number, primary in enumerate(primaries):
                primary.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                first, last = SLOTS * number // PRIMARIES, SLOTS * (number + 1) // PRIMARIES - 1
                primary.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            for member in self.members[1:]:
                self.members[0].ask("CLUSTER", "MEET", "127.0.0.1", member.port, member.bus_port)
            _until(self._all_met, "the servers did not meet")
            for replica, primary in zip(replicas, primaries, strict=True):
                replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
            _until(self._healthy, "the cluster did not form")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for member in self.members:
            member.stop()

    def restore(self) -> None:
        """Start those that died. In the thread that started the cluster: an engine ends with that."""
        for member in self.members:
            if not member.running:
                member.start()

    def heal(self) -> None:
        """Wait until every primary has a replica that follows it."""
        _until(self._healthy, "the cluster did not heal")

    def empty(self) -> None:
        """Forget all keys (not the function libraries)."""
        for member in self.members:
            if member.ask("ROLE")[0] == "master":
                member.ask("FLUSHALL")

    def primary_of(self, key: str) -> Member:
        """The server that has this key now, as the others see it."""
        slot = int(next(member for member in self.members if member.running).ask("CLUSTER", "KEYSLOT", key))
        for first, last, (_, port, *_), *_ in self._view():
            if first <= slot <= last:
                return next(member for member in self.members if member.port == port)
        raise EngineError("no server has this key")

    def _view(self) -> list[Any]:
        member = next(member for member in self.members if member.running)
        slots: list[Any] = member.ask("CLUSTER", "SLOTS")
        return slots

    def _all_met(self) -> bool:
        wanted = f"cluster_known_nodes:{len(self.members)}"
        return all(wanted in _text(member.ask("CLUSTER", "INFO")) for member in self.members)

    def _healthy(self) -> bool:
        """As every member sees it: all slots have a primary and a replica, and all replicas follow."""
        for member in self.members:
            if "cluster_state:ok" not in _text(member.ask("CLUSTER", "INFO")):
                return False
            served = [(first, last) for first, last, *servers in member.ask("CLUSTER", "SLOTS") if len(servers) > 1]
            if sum(last + 1 - first for first, last in served) < SLOTS:
                return False
            role = member.ask("ROLE")
            if role[0] == "slave" and role[3] != "connected":
                return False
        return True


def _text(reply: Any) -> str:
    """Some replies the driver takes apart."""
    return "\n".join(f"{key}:{value}" for key, value in reply.items()) if isinstance(reply, dict) else str(reply)


def _until(done: Callable[[], bool], otherwise: str) -> None:
    give_up_at = monotonic() + READY_S
    while not _tried(done):
        if monotonic() > give_up_at:
            raise EngineError(f"{otherwise} within {READY_S:g} s")
        sleep(0.02)


def _tried(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except redis.RedisError:
        return False
