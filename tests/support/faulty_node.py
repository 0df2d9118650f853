"""A node that kills or freezes itself at a chosen step: `eyeline serve`, with adapters' methods wrapped from outside.

Run as a process by `tests.support.faults.FaultyNode`, which says by environment where:

* `FAULT_STEP`: a name of `STEPS`;
* `FAULT_WHEN`: `before` or `after` the call;
* `FAULT_NTH`: which call, counted from the moment the file `FAULT_ARMED` exists;
* `FAULT_SIGNAL`: `SIGKILL` or `SIGSTOP`.

It says `{"event": "fault"}` on its log just before, and does it once.
"""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import asyncpg

from infra.postgres.call_book import PostgresCallBook
from infra.postgres.news import PostgresNews
from infra.postgres.queries import queries
from infra.postgres.request_book import PostgresRequestBook
from infra.valkey.answers import ValkeyAnswers
from infra.valkey.index import ValkeyIndex
from infra.valkey.mailboxes import ValkeyMailboxes
from infra.valkey.negotiations import ValkeyNegotiations
from matching.help_desk import HelpDesk
from server.cli import main
from server.telling import Telling

STEPS: Mapping[str, tuple[type[Any], str]] = {
    "open": (PostgresRequestBook, "open"),
    "look": (HelpDesk, "look"),
    "decide": (PostgresRequestBook, "decide"),
    "draw": (ValkeyIndex, "draw"),
    "commit_wave": (PostgresRequestBook, "commit_wave"),
    "confirm": (ValkeyIndex, "confirm"),
    "tell": (Telling, "tell"),
    "send": (ValkeyMailboxes, "send"),
    "told_request": (PostgresNews, "told_request"),
    "told_offer": (PostgresNews, "told_offer"),
    "told_call": (PostgresNews, "told_call"),
    "flush": (PostgresNews, "flush"),
    "accept": (HelpDesk, "accept"),
    "begin_call": (PostgresRequestBook, "_begin_call"),
    "change": (PostgresCallBook, "change"),
    "write_call": (PostgresCallBook, "_write"),
    "begin_answer": (ValkeyAnswers, "begin"),
    "finish_answer": (ValkeyAnswers, "finish"),
    "judge": (ValkeyNegotiations, "store"),
    "relay": (ValkeyMailboxes, "relay"),
}
"""Where a node can be hit. `begin_call` and `write_call` are inside a transaction that holds the request's lock."""

STATEMENTS: Mapping[str, str] = {
    "insert": queries("requests")["insert"],
    "wave": queries("requests")["wave"],
    "marks": queries("requests")["mark_requests"],
}
"""Single statements inside a transaction: as steps, their names begin with `sql:`."""


class Fault:
    """Counts calls once armed, and strikes at the one it waits for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.step = environ["FAULT_STEP"]
        self.when = environ["FAULT_WHEN"]
        self._nth = self._left = int(environ["FAULT_NTH"])
        self._signal = signal.Signals[environ["FAULT_SIGNAL"]]
        self._armed = Path(environ["FAULT_ARMED"])

    def passes(self, when: str) -> None:
        """A call of the step is about to begin, or has just ended."""
        if when != self.when or self._left <= 0:
            return
        if not self._armed.exists():
            self._left = self._nth
            return
        self._left -= 1
        if self._left == 0:
            print(f'{{"event": "fault", "step": "{self.step}", "when": "{self.when}"}}', flush=True)
            os.kill(os.getpid(), self._signal)


def wrapped(original: Callable[..., Any], fault: Fault, concerns: Callable[..., bool] = lambda *_: True) -> Any:
    """`original`, telling `fault` when it is called and when it returned."""
    if inspect.iscoroutinefunction(original):

        @wraps(original)
        async def asynchronous(*args: Any, **named: Any) -> Any:
            mine = concerns(*args)
            if mine:
                fault.passes("before")
            result = await original(*args, **named)
            if mine:
                fault.passes("after")
            return result

        return asynchronous

    @wraps(original)
    def synchronous(*args: Any, **named: Any) -> Any:
        fault.passes("before")
        result = original(*args, **named)
        fault.passes("after")
        return result

    return synchronous


def install(fault: Fault) -> None:
    """Wrap what the fault's step names."""
    if fault.step in STEPS:
        owner, name = STEPS[fault.step]
        setattr(owner, name, wrapped(getattr(owner, name), fault))
        return
    statement = STATEMENTS[fault.step.removeprefix("sql:")]
    for name in ("fetch", "fetchrow", "execute"):
        original = getattr(asyncpg.Connection, name)
        setattr(asyncpg.Connection, name, wrapped(original, fault, lambda _self, query, *_: query == statement))


if __name__ == "__main__":
    install(Fault(os.environ))
    main(["serve"])
