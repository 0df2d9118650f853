"""Node processes forked from one that has loaded their modules already, which is most of what a node's start costs.

What runs in them is what `python -m <module> ...` runs, with an environment and an output of its own, under a pid to be
killed or frozen by. `forked` is called by tests; the rest runs in the process that forks, of which each test process
has one. It dies with that, and every node with it, where a kernel can be told so (Linux).
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import functools
import gc
import json
import os
import random
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from infra.embedded.child import leashed

ROOT = Path(__file__).resolve().parents[2]
LENGTH = struct.Struct("!I")
NUMBER = struct.Struct("!i")
"""What is reported of a child: its pid, and in the end its exit code as `subprocess` gives it."""
PR_SET_PDEATHSIG = 1


class Forked:
    """A running child, as far as tests need what `asyncio.subprocess.Process` offers."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, reports: int) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._end = asyncio.create_task(self._ended(reports))

    async def _ended(self, reports: int) -> int:
        try:
            self.returncode = await _number(reports)
        except EOFError:
            self.returncode = -signal.SIGKILL  # the process that forks is gone, and all its children with it
        finally:
            os.close(reports)
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)


async def forked(command: Sequence[str], env: Mapping[str, str]) -> Forked:
    """Run `python -m <command>` with just this environment; its output, errors too, is `stdout`."""
    output, output_end = os.pipe()
    reports, reports_end = os.pipe()
    try:
        try:
            ask(_forking(), {"command": command, "env": dict(env)}, [output_end, reports_end])
        finally:
            os.close(output_end)
            os.close(reports_end)
        pid = await _number(reports)
        reader = asyncio.StreamReader(limit=1 << 20)
        pipe: IO[bytes] = os.fdopen(os.dup(output), "rb", 0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return Forked(pid, reader, os.dup(reports))
    except (BrokenPipeError, EOFError) as error:
        _forking.cache_clear()
        raise AssertionError("the process that forks nodes is gone; its last words are on standard error") from error
    finally:
        os.close(output)
        os.close(reports)


async def _number(descriptor: int) -> int:
    """The next number from a pipe. Raises `EOFError`."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    if not (found := os.read(descriptor, NUMBER.size)):
        raise EOFError
    number: int = NUMBER.unpack(found)[0]
    return number


def ask(forking: socket.socket, wish: object, descriptors: Sequence[int]) -> None:
    """Send a wish, with what the child writes its output to, and what is reported of it."""
    text = json.dumps(wish).encode()
    socket.send_fds(forking, [LENGTH.pack(len(text))], descriptors)
    forking.sendall(text)


@functools.cache
def _forking() -> socket.socket:
    """The connection to this process's one that forks; begun on first use, and gone with us."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "tests.support.nursery", str(theirs.fileno())]
        process = subprocess.Popen(
            leashed(command, on_owner_death=signal.SIGKILL),
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            pass_fds=[theirs.fileno()],
        )
    atexit.register(process.wait, 10)
    atexit.register(ours.close)
    return ours


# -- the process that forks -------------------------------------------------------------------------------------------


def main() -> None:
    """Fork a child for each wish, and report how each ended, until whoever wishes is gone."""
    import server.app  # noqa: F401 - whatever a node needs is loaded before it is forked

    wishes = socket.socket(fileno=int(sys.argv[1]))
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake)
    reports: dict[int, int] = {}
    gc.freeze()
    with selectors.DefaultSelector() as selector:
        selector.register(wishes, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == woken:
                    os.read(woken, 1024)
                    _report_the_ended(reports)
                    continue
                header, descriptors, _, _ = socket.recv_fds(wishes, LENGTH.size, 2)
                if len(header) < LENGTH.size:
                    return
                wish = json.loads(_exactly(wishes, LENGTH.unpack(header)[0]))
                output, report = descriptors
                parent = os.getpid()
                if (pid := os.fork()) == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    selector.close()
                    for ours in (wishes.detach(), woken, wake, report, *reports.values()):
                        os.close(ours)
                    return _be(wish["command"], wish["env"], output, parent)
                os.close(output)
                reports[pid] = report
                try:
                    os.write(report, NUMBER.pack(pid))
                except BrokenPipeError:  # whoever wished for it was stopped meanwhile
                    os.kill(pid, signal.SIGKILL)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (more := connection.recv(size - len(found))):
            raise EOFError
        found += more
    return found


def _report_the_ended(reports: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            report = reports.pop(ended[0])
            with suppress(BrokenPipeError):  # nobody waits for it any more
                os.write(report, NUMBER.pack(os.waitstatus_to_exitcode(ended[1])))
            os.close(report)


def _be(command: Sequence[str], env: Mapping[str, str], output: int, parent: int) -> None:
    """Become the child: what this process shares with the one that forked it, and a fresh one does not, is undone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    os.close(nothing)
    os.close(output)
    os.environ.clear()
    os.environ.update(env)
    random.seed()
    gc.unfreeze()
    sys.argv[1:] = command[1:]
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
