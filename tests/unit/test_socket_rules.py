"""The pure parts of the socket: the rate rule, numbering, what is remembered of words that came early."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from server.socket.early import EarlyWords
from server.socket.envelope import (
    BadFrame,
    BadMessage,
    call_is_over,
    decode,
    decode_hello,
    encode,
    numbered,
    read_head,
    read_offer,
    refused,
)
from server.socket.messages import (
    AckFrame,
    Candidate,
    ChatFrame,
    Control,
    ControlFrame,
    RelayedCandidateFrame,
    ServerFrame,
)
from server.socket.rules import Bucket, Pace, SocketRules
from signaling.ports import Claim, Delivery


class TestPace:
    RULES = SocketRules(frames_per_s=10, frames_burst=5)

    def spend(self, bucket: Bucket, count: int, now: float) -> list[Pace]:
        return [bucket.spend(self.RULES, now) for _ in range(count)]

    def test_a_burst_is_fine_then_too_fast_then_flagrant(self) -> None:
        bucket = Bucket(self.RULES, now=0.0)
        assert self.spend(bucket, 11, 0.0) == [Pace.FINE] * 5 + [Pace.TOO_FAST] * 5 + [Pace.FLAGRANT]

    def test_a_pause_helps(self) -> None:
        bucket = Bucket(self.RULES, now=0.0)
        self.spend(bucket, 7, 0.0)
        assert self.spend(bucket, 1, 0.1) == [Pace.TOO_FAST]
        assert self.spend(bucket, 1, 0.5) == [Pace.FINE]

    def test_the_sustained_rate_is_always_fine(self) -> None:
        bucket = Bucket(self.RULES, now=0.0)
        assert {bucket.spend(self.RULES, 0.1 * step) for step in range(200)} == {Pace.FINE}

    def test_idleness_earns_no_more_than_a_burst(self) -> None:
        bucket = Bucket(self.RULES, now=0.0)
        assert self.spend(bucket, 6, 1000.0)[-1] is Pace.TOO_FAST


class TestDecoding:
    def test_data_may_be_absent_where_nothing_is_needed(self) -> None:
        assert decode(b'{"type":"ack","ack":7}') == AckFrame(ack=7)

    def test_w3c_names_of_candidates(self) -> None:
        frame = b'{"type":"candidate","data":{"candidate":"c","sdpMid":"0","sdpMLineIndex":0,"negotiation":1}}'
        decoded = decode(frame)
        assert msgspec.to_builtins(decoded)["data"] == {
            "candidate": "c",
            "sdpMid": "0",
            "sdpMLineIndex": 0,
            "usernameFragment": None,
            "negotiation": 1,
        }

    def test_a_phrase_stands_alone(self) -> None:
        frame = decode(b'{"type":"chat","data":{"phrase":"closer","language":"da"}}')
        assert isinstance(frame, ChatFrame)
        assert msgspec.to_builtins(frame.data) == {"phrase": "closer", "language": "da"}

    @pytest.mark.parametrize("data", ['"name":"zoom","value":2.5', '"name":"torch","value":false', '"name":"photo"'])
    def test_controls(self, data: str) -> None:
        assert isinstance(decode(b'{"type":"control","data":{%b}}' % data.encode()), ControlFrame)

    @pytest.mark.parametrize("value", ["0", "-1", "101", "true", "null", "1e999"])
    def test_zoom_is_a_sane_number(self, value: str) -> None:
        with pytest.raises(BadMessage):
            decode(b'{"type":"control","data":{"name":"zoom","value":%b}}' % value.encode())

    def test_what_is_wrong_is_named_and_never_quoted(self) -> None:
        with pytest.raises(BadMessage) as caught:
            decode(b'{"type":"end","id":"m","data":{"reason":"my secret"}}')
        assert (caught.value.message_id, caught.value.field) == ("m", "data.reason")
        assert "secret" not in caught.value.problem

    @pytest.mark.parametrize("text", [b"", b"[]", b"7", b"\xff", b"{" * 50_000, b'{"a":' * 30_000, b'{"type":"ack"'])
    def test_what_is_no_frame(self, text: bytes) -> None:
        with pytest.raises(BadFrame):
            decode(text)
        with pytest.raises(BadFrame):
            decode_hello(text)


class TestEncoding:
    def test_a_number_is_spliced_in(self) -> None:
        message = encode(RelayedCandidateFrame(id="m", data=Candidate(candidate=None, negotiation=1)))
        assert msgspec.json.decode(numbered(message, 17)) == {**msgspec.json.decode(message), "seq": 17}

    def test_errors_always_say_whether_to_try_again(self) -> None:
        error = msgspec.json.decode(refused(None, "too_fast", "wait"))
        assert error == {"type": "error", "data": {"code": "too_fast", "message": "wait", "retryable": False}}

    def test_heads_are_read_without_the_rest(self) -> None:
        request = uuid4()
        offer = b'{"type":"offer","data":{"offer":{"request_id":"%b","epoch":2,"x":1}}}' % str(request).encode()
        assert read_offer(read_head(offer)) == (request, 2)
        assert call_is_over(read_head(b'{"type":"call","data":{"call":{"state":"ended"}},"call":"x"}'))
        assert not call_is_over(read_head(b'{"type":"call","data":{"call":{"state":"connecting"}}}'))
        assert read_head(b'{"type":"peer"}').type == "peer"

    def test_every_server_frame_has_a_type_of_its_own(self) -> None:
        tags = [frame.__struct_config__.tag for frame in ServerFrame.__args__]
        assert len(set(tags)) == len(tags)

    def test_zoom_and_torch_go_out_as_they_came(self) -> None:
        assert msgspec.json.encode(Control(name="torch", value=True)) == b'{"name":"torch","value":true}'


class TestEarlyWords:
    SESSION = uuid4()

    def claim(self, epoch: int, seq: int = 0) -> Claim:
        return Claim(self.SESSION, epoch, "i", seq, resumed=False, backlog=())

    def test_words_are_kept_by_epoch_while_a_claim_is_under_way(self) -> None:
        words = EarlyWords()
        with words.kept(self.SESSION) as early:
            words.hear(Delivery(self.SESSION, 4, b"{}", 10))
            words.hear(Delivery(self.SESSION, 5, b"{}", 10))
            words.hear(Delivery(self.SESSION, None, b"{}", 10))
            words.hear(Delivery(self.SESSION, None, None, 9))
            assert early.last_seq(self.claim(10, 3)) == 5
            assert early.last_seq(self.claim(11, 3)) == 3
            assert early.is_taken(self.claim(9))
            assert not early.is_taken(self.claim(10))

    def test_two_claims_share_them_and_nothing_stays(self) -> None:
        words = EarlyWords()
        with words.kept(self.SESSION) as first:
            with words.kept(self.SESSION) as second:
                assert first is second
            words.hear(Delivery(self.SESSION, 4, b"{}", 10))
        with words.kept(self.SESSION) as later:
            words.hear(Delivery(uuid4(), 4, b"{}", 10))
            assert later.last_seq(self.claim(10)) == 0
