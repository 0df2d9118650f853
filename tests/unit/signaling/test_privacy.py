"""What one stranger's description tells the other: the way to a relay of ours, and no other address."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.privacy import RelayNets, relay_candidate, relayed_only

NETS = RelayNets(["203.0.113.0/24", "2001:db8:7::/48"])
SDP = Path(__file__).parents[2] / "support" / "sdp"
DESCRIPTIONS = {path.stem: path.read_bytes().decode() for path in sorted(SDP.glob("*.sdp"))}
"""As Chromium makes them, with host addresses of every kind."""
RELAYED = "candidate:1 1 udp 41885695 203.0.113.9 50000 typ relay raddr 198.51.100.4 rport 61000 generation 0 ufrag ab"


def addresses_in(text: str) -> set[str]:
    """Every address anybody could read out of it, fingerprints aside."""
    found = set()
    for line in text.splitlines():
        if line.startswith("a=fingerprint:"):
            continue
        for word in re.split(r"[^0-9A-Fa-f:.]+", line):
            for start in range(len(word)):
                try:
                    found.add(str(ip_address(word[start:].strip("."))))
                    break
                except ValueError:
                    continue
    return found - {"0.0.0.0", "::"}


class TestACandidate:
    def test_of_our_relay_passes_without_what_is_behind_it(self) -> None:
        passed = relay_candidate(RELAYED, NETS)
        assert passed is not None
        assert "203.0.113.9 50000 typ relay raddr 0.0.0.0 rport 9 generation 0 ufrag ab" in passed
        assert "198.51.100.4" not in passed

    @pytest.mark.parametrize(
        "candidate",
        [
            RELAYED.replace("203.0.113.9", "198.51.100.4"),  # says relay, and is not
            RELAYED.replace("typ relay", "typ host"),
            RELAYED.replace("typ relay", "typ srflx"),
            RELAYED.replace("203.0.113.9", "203.0.113.9.example"),
            RELAYED.replace("203.0.113.9", "4f5a.local"),
            RELAYED.replace("203.0.113.9", "2001:db8:8::9"),
            RELAYED.replace("203.0.113.9", "::ffff:203.0.113.9"),
            RELAYED.replace(" udp ", " udp/198.51.100.4 "),
            RELAYED.replace("candidate:1", "candidate:198.51.100.4"),
            "candidate:",
            "",
        ],
    )
    def test_of_anything_else_does_not(self, candidate: str) -> None:
        assert relay_candidate(candidate, NETS) is None

    @pytest.mark.parametrize("extension", ["network-id 198.51.100.4", "ufrag 198.51.100.4", "generation ::1", "x y"])
    def test_takes_nothing_along_in_its_extensions(self, extension: str) -> None:
        passed = relay_candidate(f"{RELAYED.partition(' generation')[0]} {extension}", NETS)
        assert passed is not None
        assert passed.endswith("rport 9")

    def test_of_a_relay_by_ipv6_passes(self) -> None:
        assert relay_candidate(RELAYED.replace("203.0.113.9", "2001:db8:7::9"), NETS) is not None

    def test_has_a_foundation_that_tells_nothing(self) -> None:
        one = relay_candidate(RELAYED, NETS)
        assert one == relay_candidate(RELAYED.replace("candidate:1 ", "candidate:987654 "), NETS)

    @given(st.text(max_size=200))
    def test_in_any_words_gives_no_address_away(self, text: str) -> None:
        for candidate in (text, f"{RELAYED} {text}", f"candidate:1 1 udp 1 203.0.113.9 9 typ relay {text}"):
            passed = relay_candidate(candidate, NETS)
            assert passed is None or addresses_in(passed) == {"203.0.113.9"}


class TestADescription:
    @pytest.mark.parametrize("name", DESCRIPTIONS)
    def test_of_a_real_browser_loses_every_address_and_nothing_else(self, name: str) -> None:
        before, after = DESCRIPTIONS[name], relayed_only(DESCRIPTIONS[name], NETS)
        assert addresses_in(before)
        assert addresses_in(after.sdp) == set()
        assert (after.relays, "a=candidate" in after.sdp) == (0, False)
        lost = set(before.split("\r\n")) - set(after.sdp.split("\r\n"))
        assert {line[:12].partition(" ")[0].partition(":")[0] for line in lost} <= {
            *("o=-", "c=IN", "m=audio", "m=video", "m=applicatio", "m=applicati", "a=candidate")
        }

    @pytest.mark.parametrize("name", DESCRIPTIONS)
    def test_keeps_the_candidates_of_our_relays(self, name: str) -> None:
        lines = DESCRIPTIONS[name].split("\r\n")
        with_relay = "\r\n".join([*lines[:-1], f"a={RELAYED}", "a=end-of-candidates", ""])
        filtered = relayed_only(with_relay, NETS)
        assert (filtered.relays, filtered.complete) == (1, True)
        assert addresses_in(filtered.sdp) == {"203.0.113.9"}

    def test_a_refused_medium_stays_refused(self) -> None:
        text = "v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\nm=audio 53562 UDP/TLS/RTP/SAVPF 111\r\n"
        assert relayed_only(text, NETS).sdp.split("\r\n")[1:3] == [
            "m=video 0 UDP/TLS/RTP/SAVPF 96",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        ]

    @given(st.data())
    def test_mangled_in_any_way_gives_no_address_away(self, data: st.DataObject) -> None:
        lines = data.draw(st.sampled_from(list(DESCRIPTIONS.values()))).split("\r\n")
        address = data.draw(
            st.sampled_from(["198.51.100.4", "2001:db8:8::7", "fd00::2", "10.1.2.3", "1:2:3:4:5:6:7:8"])
        )
        for _ in range(data.draw(st.integers(1, 8))):
            at = data.draw(st.integers(0, len(lines) - 1))
            line = lines[at]
            cut = data.draw(st.integers(0, len(line)))
            sign = data.draw(st.sampled_from(["", " ", ":", "/", "=", "\t", "a", "[", "\r"]))
            lines[at] = line[:cut] + sign + address + sign + line[cut:]
        end = data.draw(st.sampled_from(["\r\n", "\n"]))
        told = relayed_only(end.join(lines), NETS).sdp
        assert address not in told.replace("\r\n", "\n")


class TestTheNetworks:
    @pytest.mark.parametrize("wrong", ["203.0.113.7/24", "turn.example", ""])
    def test_must_be_networks(self, wrong: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            RelayNets([wrong])
