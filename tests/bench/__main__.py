"""`make bench`: measures this machine and prints each figure beside what something bare does in the same run.

    python -m tests.bench [name ...]     of: index matching lifecycles relaying crowds first_frame pushing

`matching` fills the index with `--volunteers` people (10,000,000 take some minutes and 3 GB), and refills it from a
database with `--in-postgres` people.

Figures are also kept in `.eyeline/bench.json`: {name: {"value", "unit", "beside", "ratio"}}.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import crowds, first_frame, index, lifecycles, matching, pushing, relaying
from tests.bench.figures import Figure, keep, table
from tests.bench.stage import durable_engines
from tests.support.engines import Engines

KEPT_IN = Path(".eyeline/bench.json")


async def _index(engines: Engines) -> dict[str, Figure]:
    return await index.run(await engines.empty_valkey())


Bench = Callable[[Engines], Coroutine[Any, Any, dict[str, Figure]]]
BENCHES: dict[str, Bench] = {
    "index": _index,
    "lifecycles": lifecycles.run,
    "relaying": relaying.run,
    "crowds": crowds.run,
    "first_frame": first_frame.run,
    "pushing": pushing.run,
}


def main(arguments: list[str]) -> int:
    """Run the named benches, or all."""
    parser = argparse.ArgumentParser(prog="eyeline bench")
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("--volunteers", type=int, default=1_000_000, help="people in the index, for `matching`")
    parser.add_argument("--in-postgres", type=int, default=200_000, help="people it is rebuilt from, for `matching`")
    options = parser.parse_args(arguments)
    names: list[str] = options.names
    sizes = {"volunteers": options.volunteers, "in_postgres": options.in_postgres}
    benches: dict[str, Bench] = {**BENCHES, "matching": partial(matching.run, **sizes)}
    unknown = [name for name in names if name not in benches]
    if unknown:
        print(f"no bench is called {unknown[0]}; there are: {' '.join(benches)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        engines = durable_engines(Path(folder))
        try:
            engines.start()
            for name in names or benches:
                print(f"measuring {name} ...", flush=True)
                figures = uvloop.run(benches[name](engines))  # as a node does
                keep(figures, KEPT_IN)
                print(table(figures), flush=True)
        finally:
            engines.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
