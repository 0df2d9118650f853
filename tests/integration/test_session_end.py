"""A session that is ended elsewhere loses its socket at once."""

from __future__ import annotations

import pytest

from infra.phone.client import PhoneClient
from infra.phone.errors import PhoneStopped
from tests.support.running import running_node


async def test_ending_a_session_closes_its_socket_as_unauthorized_and_its_volunteer_is_not_rung(
    database_url: str, valkey_url: str
) -> None:
    async with (
        running_node(database_url, valkey_url) as one,
        running_node(database_url, valkey_url) as other,
        PhoneClient.sign_in(one, "helper", role="volunteer", languages=["en"], device_id="tablet") as tablet,
        PhoneClient.sign_in(other, "helper", device_id="phone") as phone,
    ):
        await tablet.ready()
        await phone.account.call("DELETE", f"/v1/sessions/{tablet.session_id}")
        with pytest.raises(PhoneStopped):
            await tablet.next("nothing")
        async with PhoneClient.sign_in(one, "asker", role="requester", languages=["en"]) as asker:
            await asker.request_help()
            progress = await asker.next("progress")
            assert progress["data"]["note"]["code"] == "nobody_awake"
