"""Two minutes of the soak (`make soak` is twenty of them, and faster), and a deploy under load."""

from __future__ import annotations

from tests.soak.__main__ import report, wrong
from tests.soak.soak import Plan, soaked
from tests.support.engines import Engines

CUT = Plan(seconds=120, calls_a_second=3, cuts_a_second=1, deploys=0, seed=1)
DEPLOYED = Plan(seconds=16, calls_a_second=3, cuts_a_second=0, deploys=2, seed=2)


async def test_calls_survive_cut_connections_and_leave_nothing_behind(engines: Engines) -> None:
    engines.restore()
    told = await soaked(engines, CUT)
    assert wrong(CUT, told) == [], report(told)


async def test_a_deploy_under_load_loses_no_call_and_no_request(engines: Engines) -> None:
    engines.restore()
    told = await soaked(engines, DEPLOYED)
    assert wrong(DEPLOYED, told) == [], report(told)
