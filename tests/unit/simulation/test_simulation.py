"""Small simulations: the same luck for all, the same figures again, and our targets."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.simulation import compare
from infra.simulation.compare import Comparison, Job, Played, play
from infra.simulation.contenders import CONTENDERS, FIXED_FAMILY
from infra.simulation.plots import draw
from infra.simulation.report import as_json, as_table
from infra.simulation.world import World
from server.cli import main

SMALL = World(seed=11, requests=20, volunteers=1000)
FIGURES = {"p50_s", "p95_s", "unanswered", "notifications", "late_taps", "gini", "first_turn_max_days"}


@pytest.fixture(scope="module")
def everybody() -> Comparison:
    return compare.compare(SMALL, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("chance", compare.CHANCES)
def test_ours_reaches_its_targets(chance: float) -> None:
    figures = play(Job(World(seed=5, requests=400), "adaptive", chance)).figures
    assert figures.p95_s.value <= 20
    assert figures.late_taps.low <= 0.15
    assert figures.unanswered == 0
    assert figures.nobody_free <= 2, "by night a small language may run out of people"
    assert figures.notifications.value * chance < 4


def test_every_policy_meets_the_same_people(everybody: Comparison) -> None:
    assert {name for name, _ in everybody} == set(CONTENDERS)
    for (_, chance), played in everybody.items():
        assert len(played.record.waited_s) == SMALL.requests
        assert sum(played.record.turns) == sum(played.record.notifications)
        assert played.record.answered.count(False) == played.figures.unanswered + played.figures.nobody_free
        assert chance in compare.CHANCES


def test_who_asks_more_waits_less_and_is_tapped_in_vain_more(everybody: Comparison) -> None:
    for chance in compare.CHANCES:
        ring_50, one = everybody["ring_50", chance].figures, everybody["one_at_a_time", chance].figures
        assert ring_50.p95_s.value < one.p95_s.value
        assert ring_50.notifications.value > 5 * one.notifications.value
        assert one.late_taps.value == 0


def test_the_same_again(everybody: Comparison) -> None:
    again = play(Job(SMALL, "be_my_eyes_2015", 0.17))
    assert again.record == everybody["be_my_eyes_2015", 0.17].record


def test_luck_does_not_depend_on_the_policy() -> None:
    """Where both rang the same person first for the same request, and nobody else, the same happens."""
    one, idle = (play(Job(SMALL, name, 0.47)).record for name in ("one_at_a_time", "longest_idle"))
    first_s = [(a, b) for a, b in zip(one.waited_s, idle.waited_s, strict=True) if max(a, b) < 15][:1]
    assert first_s
    assert first_s[0][0] == first_s[0][1]


def test_people_read_a_table_and_programs_json(everybody: Comparison) -> None:
    found = as_json(everybody)
    assert set(found) == set(CONTENDERS)
    for of_policy in found.values():
        assert set(of_policy) == {"0.05", "0.17", "0.47"}
        assert all(set(figures) == FIGURES for figures in of_policy.values())
    lines = list(as_table(everybody))
    assert sum(line.startswith("adaptive ") for line in lines) == 3
    assert max(map(len, lines)) < 180


def test_pictures_are_drawn(everybody: Comparison, tmp_path: Path) -> None:
    for path in draw(everybody, tmp_path / "pictures"):
        assert path.read_bytes().startswith(b"\x89PNG")


class TestCommand:
    @pytest.fixture
    def played(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[World, tuple[str, ...]]]:
        """Compares at once, in a world of few; what was asked for."""
        seen: list[tuple[World, tuple[str, ...]]] = []

        def quick(world: World, names: Mapping[str, object] = CONTENDERS, **_: object) -> Comparison:
            seen.append((world, tuple(names)))
            few = World(world.seed, min(world.requests, 3), volunteers=200)
            jobs = [Job(few, name, chance) for name in names for chance in compare.CHANCES]
            found: dict[tuple[str, float], Played] = {(job.name, job.chance): play(job) for job in jobs}
            return found

        monkeypatch.setattr(compare, "compare", quick)
        return seen

    def test_prints_json_of_the_policies_alone(
        self, played: list[tuple[World, tuple[str, ...]]], tmp_path: Path
    ) -> None:
        folder = tmp_path / "docs"
        done = CliRunner().invoke(
            main, ["simulate", "--seed", "8", "--requests", "4000", "--json", "--plots", str(folder)]
        )
        assert done.exit_code == 0
        assert set(json.loads(done.stdout)) == set(CONTENDERS)
        assert played == [(World(8, 4000), tuple(CONTENDERS)), (World(8, 4000), tuple(FIXED_FAMILY))]
        assert len(list(folder.glob("*.png"))) == 5

    def test_prints_a_table(self, played: list[tuple[World, tuple[str, ...]]]) -> None:
        done = CliRunner().invoke(main, ["simulate"])
        assert "Volunteers answer with a chance of 0.05:" in done.stdout
        assert played == [(World(1, 5000), tuple(CONTENDERS))]

    @pytest.mark.parametrize("arguments", [["--requests", "0"], ["--requests", "many"], ["--seed", "x"], ["--what"]])
    def test_a_wrong_option_is_refused(self, arguments: list[str]) -> None:
        done = CliRunner().invoke(main, ["simulate", *arguments])
        assert done.exit_code == 2
        assert "Error: " in done.stderr

    def test_a_folder_that_cannot_be_made_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        done = CliRunner().invoke(main, ["simulate", "--plots", str(tmp_path / "file" / "docs")])
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("eyeline: cannot write to ")

    def test_pictures_need_what_draws_them(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        done = CliRunner().invoke(main, ["simulate", "--plots", str(tmp_path)])
        assert done.exit_code == 1
        assert done.stderr == "eyeline: pictures need matplotlib: pip install 'eyeline[plots]'\n"
