"""`make soak`: calls for a long time, with random cuts and nodes replaced; exit code 1 if anything is wrong.

python -m tests.soak [--minutes 20] [--calls 20] [--cuts 2] [--deploys 4] [--seed 1]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import quantile
from tests.soak.soak import Plan, Told, soaked
from tests.support.engines import Engines

GROWTH_MB_MAX = 40.0
"""Of two nodes together: what two processes keep for later, not what each call leaves behind."""
FILES_MAX = 40
"""Their database pools fill when they are needed, and clients keep HTTP connections open for a while."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--calls", type=float, default=20.0, help="calls begun a second")
    parser.add_argument("--cuts", type=float, default=2.0, help="connections cut a second")
    parser.add_argument("--deploys", type=int, default=0, help="nodes replaced meanwhile; then growth is not judged")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plan = Plan(options.minutes * 60, options.calls, options.cuts, options.deploys, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        engines = Engines(Path(folder))
        engines.start()
        try:
            told = asyncio.run(soaked(engines, plan))
        finally:
            engines.stop()
    wrongs = wrong(plan, told)
    print("\n".join([*report(told), *(f"WRONG: {one}" for one in wrongs)]))
    return 1 if wrongs else 0


def report(told: Told) -> list[str]:
    """What came of it, a line each."""
    count = sum(told.outcomes.values())
    took = [f"p{share * 100:.0f} {quantile(told.took_s, share):.2f} s" for share in (0.5, 0.99) if len(told.took_s) > 1]
    return [
        f"{count} calls: {', '.join(f'{name} {number}' for name, number in told.outcomes.most_common())}",
        f"tap to connected: {', '.join(took)}, at most {max(told.took_s, default=0):.2f} s",
        *(f"{name}: {told.before[name]:.0f} before, {told.after[name]:.0f} after" for name in told.before),
    ]


def wrong(plan: Plan, told: Told) -> list[str]:
    """What should not have been."""
    wrongs = [*told.wrongs, *(name for name in told.outcomes if name not in ("completed", "nobody free to call"))]
    if not told.outcomes["completed"]:
        wrongs.append("no call at all")
    if not plan.deploys:
        grown = {name: told.after[name] - told.before[name] for name in told.before}
        allowed = {"memory_mb": GROWTH_MB_MAX, "files": FILES_MAX, "tasks": 8, "lasting_keys": 0}
        wrongs += [f"{name} grew by {grown[name]:.0f}" for name, most in allowed.items() if grown[name] > most]
    return wrongs


if __name__ == "__main__":
    sys.exit(main())
