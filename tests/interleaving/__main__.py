"""`python -m tests.interleaving [scenario ...]` explores; `python -m tests.interleaving "name: steps"` replays.

`--full` explores every scenario within all three bounds at once, also those that are too large for `make test`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from tests.interleaving.explore import Broken, Explorer, replay
from tests.interleaving.scenario import FULL
from tests.interleaving.scenarios import SCENARIOS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.interleaving")
    parser.add_argument("names", nargs="*", metavar="scenario", help='or one "name: steps", which is replayed')
    parser.add_argument("--full", action="store_true", help="all three bounds at once, whatever a scenario says")
    options = parser.parse_args()
    if options.names and ":" in options.names[0]:
        for number, step in enumerate(replay(SCENARIOS, options.names[0]), 1):
            print(f"{number:3} {step}")
        return 0
    code = 0
    for name in options.names or SCENARIOS:
        scenario = replace(SCENARIOS[name], bounds=(FULL,)) if options.full else SCENARIOS[name]
        try:
            print(Explorer(scenario).explore(), flush=True)
        except Broken as broken:
            print(f"{name:32} BROKEN\n{broken}", flush=True)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
