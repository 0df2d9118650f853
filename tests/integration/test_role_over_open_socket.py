"""Somebody new opens their socket first and says who they are afterwards."""

from __future__ import annotations

import pytest

from infra.phone.client import PhoneClient
from infra.phone.errors import FrameRefused
from tests.support.running import running_node


async def test_a_role_set_after_the_socket_opened_counts_at_once(database_url: str, valkey_url: str) -> None:
    async with (
        running_node(database_url, valkey_url) as url,
        PhoneClient.sign_in(url, "new helper") as helper,
        PhoneClient.sign_in(url, "asker", role="requester", languages=["en"]) as asker,
    ):
        with pytest.raises(FrameRefused, match="wrong_role"):
            await helper.ready()
        await helper.account.call("PATCH", "/v1/me", {"role": "volunteer", "languages": ["en"]})
        await helper.ready()
        request = await asker.request_help()
        offer = await helper.next_offer()
        assert offer["request_id"] == request["id"]
        call = await helper.accept(offer)
        assert call["side"] == "volunteer"
