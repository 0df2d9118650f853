"""A call whose path is cut and comes back, between two browsers on networks of their own and through a relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.apart import Apart, apart
from tests.support.installation import Installation
from tests.support.netns import Cable, Net, net
from tests.support.people import answered, in_call, media_run
from tests.support.turn import turn_server_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def network() -> Iterator[Net]:
    with net() as network:
        yield network


@pytest.fixture(scope="module")
def cable(network: Net) -> Cable:
    """The requester's."""
    return network.host("requester")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browsers(network: Net, cable: Cable, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Apart]:
    other = network.host("volunteer")
    async with apart(network, cable.host, other.host, tmp_path_factory.mktemp("browsers")) as browsers:
        yield browsers


CUTS = [(Cable.pull, Cable.plug), (Cable.lose, Cable.lose_no_more)]
"""The link goes down, then: everything is lost in silence."""


async def test_a_call_whose_path_is_cut_is_repaired_each_time(
    place: Installation, browsers: Apart, cable: Cable, tmp_path: Path
) -> None:
    """By an ICE restart of the same connection, begun by the polite side when the other cannot be heard."""
    async with (
        turn_server_in(browsers.net.hub, Net.ADDRESS, tmp_path) as turn,
        browsers.people(place, **turn.settings) as (requester, volunteer),
    ):
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        for cut, mend in CUTS:
            before = await requester.ice_credentials()
            cut(cable)
            await volunteer.offers()
            await requester.hears("The connection is weak. Repairing it.")
            mend(cable)
            await asyncio.gather(requester.repaired(before), volunteer.repaired(before))
            await requester.hears("Connected again.")
            await in_call(requester, volunteer)
            await media_run(requester, volunteer)
            assert [await person.attempt() for person in (requester, volunteer)] == [1, 1]
        await volunteer.press("end")
        await requester.is_in("ended")
