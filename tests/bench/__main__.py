"""`make bench`: measures this machine and prints each figure beside what something bare does in the same run.

    python -m tests.bench [name ...]     of: index lifecycles relaying first_frame pushing

Figures are also kept in `.eyeline/bench.json`: {name: {"value", "unit", "beside", "ratio"}}.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.bench import first_frame, index, lifecycles, pushing, relaying
from tests.bench.figures import Figure, keep, table
from tests.bench.stage import durable_engines
from tests.support.engines import Engines

KEPT_IN = Path(".eyeline/bench.json")


async def _index(engines: Engines) -> dict[str, Figure]:
    return await index.run(await engines.empty_valkey())


BENCHES: dict[str, Callable[[Engines], Coroutine[Any, Any, dict[str, Figure]]]] = {
    "index": _index,
    "lifecycles": lifecycles.run,
    "relaying": relaying.run,
    "first_frame": first_frame.run,
    "pushing": pushing.run,
}


def main(names: list[str]) -> int:
    """Run the named benches, or all."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no bench is called {unknown[0]}; there are: {' '.join(BENCHES)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        engines = durable_engines(Path(folder))
        try:
            engines.start()
            for name in names or BENCHES:
                print(f"measuring {name} ...", flush=True)
                figures = asyncio.run(BENCHES[name](engines))
                keep(figures, KEPT_IN)
                print(table(figures), flush=True)
        finally:
            engines.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
