"""A call between two homes: each browser behind a NAT of its own, with no way to the other but through the relay.

Their addresses at home are even the same ones, as in real homes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from tests.support.apart import Apart, apart
from tests.support.installation import Installation
from tests.support.netns import Net, net
from tests.support.people import answered, media_run
from tests.support.turn import turn_server_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def network() -> Iterator[Net]:
    with net() as network:
        yield network


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browsers(network: Net, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Apart]:
    requester, volunteer = network.behind_nat("requester"), network.behind_nat("volunteer")
    async with apart(network, requester, volunteer, tmp_path_factory.mktemp("browsers")) as browsers:
        yield browsers


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_they_see_and_hear_each_other_through_the_relay(
    place: Installation, browsers: Apart, tmp_path: Path, transport: Literal["udp", "tcp"]
) -> None:
    hub = browsers.net.hub
    async with (
        turn_server_in(hub, Net.ADDRESS, tmp_path) as turn,
        browsers.people(place, **turn.settings_over(transport)) as (requester, volunteer),
    ):
        await answered(requester, volunteer)
        await media_run(requester, volunteer)
        for person in (requester, volunteer):
            assert await person.selected_pair() == ["relay", "relay"]
            assert await person.relay_protocol() == transport
