"""`python -m tests.interleaving [scenario ...]` explores; `python -m tests.interleaving "name: steps"` replays."""

from __future__ import annotations

import sys

from tests.interleaving.explore import Broken, Explorer, replay
from tests.interleaving.scenarios import SCENARIOS


def main(arguments: list[str]) -> None:
    if arguments and ":" in arguments[0]:
        for number, step in enumerate(replay(SCENARIOS, arguments[0]), 1):
            print(f"{number:3} {step}")
        return
    for name in arguments or SCENARIOS:
        try:
            print(Explorer(SCENARIOS[name]).explore(), flush=True)
        except Broken as broken:
            print(f"{name:32} BROKEN\n{broken}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
