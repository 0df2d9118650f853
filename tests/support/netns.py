"""Networks made of Linux namespaces: hosts, routers and NATs on this machine, of which nothing leads outside.

A namespace is made with nothing in it but its own loopback, and `Net` connects namespaces of its own with each other
only, so whatever is sent in one reaches the others at most. The addresses (RFC 5737) mean nobody.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
COMMAND_S = 10.0
LOSS = """table ip loss {
  chain from { type filter hook prerouting priority 0 ; iifname "%(port)s" drop ; }
  chain to { type filter hook postrouting priority 0 ; oifname "%(port)s" drop ; }
}"""
NAT = """table ip nat {
  chain out { type nat hook postrouting priority 100 ; oifname "wan" masquerade ; }
  chain in { type filter hook forward priority 0 ; iifname "wan" ct state != { established, related } drop ; }
}"""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Namespace:
    """One host with a network of its own."""

    name: str

    def run(self, *command: str, words: str | None = None) -> None:
        """Run a command in it; fails with what it said."""
        _run(*self.within(*command), words=words)

    def within(self, *command: str) -> list[str]:
        """The command line that runs `command` in it."""
        return ["ip", "netns", "exec", self.name, *command]

    def inside(self, work: Callable[[], T]) -> T:
        """Do something here; sockets that are made then belong to it, whoever has them."""
        with ThreadPoolExecutor(1, initializer=self._enter) as thread:  # it ends with its strange network
            return thread.submit(work).result()

    def listener(self, address: str, port: int) -> socket.socket:
        return self.inside(lambda: socket.create_server((address, port)))

    def wrapper(self, executable: Path, directory: Path) -> Path:
        """A program that is `executable` in this namespace, for whoever only takes a path."""
        path = directory / f"{executable.name}-in-{self.name}"
        path.write_text(f'#!/bin/sh\nexec ip netns exec {self.name} {executable} "$@"\n')
        path.chmod(0o755)
        return path

    def _enter(self) -> None:
        with open(f"/run/netns/{self.name}") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")


@dataclass(frozen=True, slots=True)
class Cable:
    """From a router's port to the interface `wan` of a host behind it."""

    router: Namespace
    port: str
    host: Namespace

    def pull(self) -> None:
        """Both ends see at once that the other is gone."""
        _run("ip", "-n", self.router.name, "link", "set", self.port, "down")

    def plug(self) -> None:
        _run("ip", "-n", self.router.name, "link", "set", self.port, "up")

    def lose(self) -> None:
        """Nothing comes through any more, either way, and nobody is told."""
        self.router.run("nft", "-f", "-", words=LOSS % {"port": self.port})

    def lose_no_more(self) -> None:
        self.router.run("nft", "delete", "table", "ip", "loss")


class Net:
    """A router, `hub`, with an address of its own, and whatever is connected to it."""

    ADDRESS = "192.0.2.1"

    def __init__(self) -> None:
        self._prefix = f"eyeline-{os.getpid()}-{next(_numbers)}"
        self._made: list[Namespace] = []
        self._subnets = IPv4Network("198.51.100.0/24").subnets(new_prefix=29)
        self.hub = self._namespace("hub", forwards=True)
        _run("ip", "-n", self.hub.name, "address", "add", f"{self.ADDRESS}/32", "dev", "lo")

    def host(self, name: str) -> Cable:
        """A host with a network of its own at the hub."""
        return self._connect(self.hub, self._namespace(name), next(self._subnets))

    def behind_nat(self, name: str) -> Namespace:
        """A host in somebody's home: its router has one address for all, and lets only answers in."""
        home = self._namespace(f"{name}-nat", forwards=True)
        self._connect(self.hub, home, next(self._subnets))
        home.run("nft", "-f", "-", words=NAT)
        host = self._namespace(name)
        self._connect(home, host, IPv4Network("203.0.113.0/29"))
        return host

    def remove(self) -> None:
        """Processes in them must have ended."""
        for namespace in reversed(self._made):
            subprocess.run(["ip", "netns", "delete", namespace.name], check=True, timeout=COMMAND_S)

    def _namespace(self, name: str, *, forwards: bool = False) -> Namespace:
        namespace = Namespace(f"{self._prefix}-{name}")
        _run("ip", "netns", "add", namespace.name)
        self._made.append(namespace)
        namespace.inside(_without_ipv6)
        _run("ip", "-n", namespace.name, "link", "set", "lo", "up")
        if forwards:
            namespace.inside(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        return namespace

    def _connect(self, router: Namespace, host: Namespace, subnet: IPv4Network) -> Cable:
        gateway, address = itertools.islice(subnet.hosts(), 2)
        port = f"port{subnet.network_address.packed[3]}"
        ends = ((router, port, gateway), (host, "wan", address))
        _run(
            *("ip", "link", "add", port, "netns", router.name),
            *("type", "veth", "peer", "name", "wan", "netns", host.name),
        )
        for namespace, interface, own in ends:
            within = IPv4Interface((own, subnet.prefixlen))
            _run("ip", "-n", namespace.name, "address", "add", str(within), "dev", interface)
            _run("ip", "-n", namespace.name, "link", "set", interface, "up")
        _run("ip", "-n", host.name, "route", "add", "default", "via", str(gateway))
        return Cable(router, port, host)


@contextmanager
def net() -> Iterator[Net]:
    """Fails, and says what to do, where namespaces cannot be made."""
    _check()
    _sweep()
    net = Net()
    try:
        yield net
    finally:
        net.remove()


def _check() -> None:
    if os.geteuid() != 0:
        raise AssertionError("this test makes network namespaces and so needs root: run it as root")
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program) is None:
            raise AssertionError(f"{program} is missing: install it with `apt-get install {package}`")


def _sweep() -> None:
    """What a test process left behind that was killed."""
    for path in Path("/run/netns").glob("eyeline-*"):
        if not Path("/proc", path.name.split("-")[1]).exists():
            subprocess.run(["ip", "netns", "delete", path.name], check=False, capture_output=True, timeout=COMMAND_S)


def _without_ipv6() -> None:
    """Or addresses come up a second after their links: to browsers that is another network, in the middle of a page."""
    switch = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
    if switch.exists():
        switch.write_text("1")


def _run(*command: str, words: str | None = None) -> None:
    done = subprocess.run(command, input=words, capture_output=True, text=True, timeout=COMMAND_S)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
