"""Two browsers, each on a network of its own, and a node that both can reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser

from tests.support.chromium import EXECUTABLE, chromium
from tests.support.installation import Installation
from tests.support.netns import Namespace, Net
from tests.support.people import Person, street

PORT = 8080
URL = f"http://{Net.ADDRESS}:{PORT}"


@dataclass(frozen=True, slots=True)
class Apart:
    """The browsers of a requester and a volunteer."""

    net: Net
    requester: Browser
    volunteer: Browser

    @asynccontextmanager
    async def people(self, place: Installation, **settings: str) -> AsyncIterator[tuple[Person, Person]]:
        """Both signed in at a node with these settings, and ready."""
        node = await place.node(**settings)
        await place.proxy(node, self.net.hub.listener(Net.ADDRESS, PORT))
        async with street(self.requester) as theirs, street(self.volunteer) as others:
            requester, volunteer = await asyncio.gather(theirs.requester(URL), others.volunteer(URL))
            yield requester, volunteer


@asynccontextmanager
async def apart(net: Net, requester: Namespace, volunteer: Namespace, directory: Path) -> AsyncIterator[Apart]:
    """A browser in each of the namespaces; to them the node's address is as good as https."""
    async with AsyncExitStack() as stack:

        async def browser(host: Namespace) -> Browser:
            wrapper = host.wrapper(EXECUTABLE, directory)
            flag = f"--unsafely-treat-insecure-origin-as-secure={URL}"
            return await stack.enter_async_context(chromium(flag, wrapper=wrapper))

        yield Apart(net, await browser(requester), await browser(volunteer))
