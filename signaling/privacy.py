"""Keeps two strangers from learning each other's address: only candidates of our own relays pass. Pure.

Applied to what either side sends, whether or not its app obeys `iceTransportPolicy`: a candidate that says `typ relay`
but lies elsewhere is somebody's own address. (RFC 8828 tells what addresses give away; RFC 8839 is the grammar.)
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

NOBODY = "0.0.0.0"
"""RFC 8840, section 4.1.1: the address of a description whose candidates trickle."""
DISCARD_PORT = "9"

_CANDIDATE = re.compile(
    r"candidate:(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>[0-9]{1,5}) (?P<transport>(?i:udp|tcp))"
    r" (?P<priority>[0-9]{1,10}) (?P<address>\S+) (?P<port>[0-9]{1,5}) typ relay(?P<rest>( \S+)*)",
)
_KEPT_EXTENSIONS = ("generation", "ufrag")
"""RFC 8839's and the browsers' own that mean something to the other side; others could say anything."""
_LINES = frozenset({"v=", "s=", "t=", "b="})
_ATTRIBUTES = frozenset(
    {
        *("group", "mid", "bundle-only", "msid", "msid-semantic", "identity", "tls-id"),
        *("ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "end-of-candidates", "setup"),
        *("sendrecv", "sendonly", "recvonly", "inactive", "ssrc", "ssrc-group"),
        *("rtcp-mux", "rtcp-mux-only", "rtcp-rsize", "rtcp-fb", "rtcp-xr"),
        *("rtpmap", "fmtp", "ptime", "maxptime", "extmap", "extmap-allow-mixed", "framerate", "imageattr"),
        *("rid", "simulcast", "sctp-port", "sctpmap", "max-message-size"),
    }
)
"""All that JSEP (RFC 8829) and the browsers know of."""
_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_IPV6 = re.compile(r"::|[0-9A-Fa-f]:[0-9A-Fa-f]+:[0-9A-Fa-f]")
_FINGERPRINT = re.compile(r"a=fingerprint:[A-Za-z0-9-]{1,16} [0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63}")
"""Of which any eight bytes would read as an address."""
_END = "a=end-of-candidates"


class RelayNets:
    """The networks our TURN servers give relayed addresses from."""

    def __init__(self, networks: Iterable[str]) -> None:
        """`networks` in CIDR notation. ValueError names none that is one."""
        self._networks: tuple[Network, ...] = tuple(ip_network(text) for text in networks)

    def __contains__(self, address: object) -> bool:
        """Whether an address, as text, is one of a relay of ours. A host name is not: it would be asked for."""
        try:
            parsed = ip_address(str(address))
        except ValueError:
            return False
        return any(parsed.version == network.version and parsed in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Filtered:
    """A description that gives no address away."""

    sdp: str
    relays: int
    """Candidates left."""
    complete: bool
    """Whether it says that there are no more to come."""


def relay_candidate(candidate: str, nets: RelayNets) -> str | None:
    """The candidate-attribute (RFC 8839, 5.1) without traces of where its owner is; None unless it is of our relays."""
    found = _CANDIDATE.fullmatch(candidate.strip())
    if found is None or found["address"] not in nets:
        return None
    words = found["rest"].split()
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    kept = [f"{name} {pairs[name]}" for name in _KEPT_EXTENSIONS if name in pairs and not _gives_away(pairs[name])]
    # A foundation is a hash of the address behind the relay (Chromium: CRC-32, which is easily tried out).
    foundation = zlib.crc32(f"{found['address']} {found['transport']}".encode())
    parts = [
        *(f"candidate:{foundation}", found["component"], found["transport"], found["priority"]),
        *(found["address"], found["port"], "typ relay", f"raddr {NOBODY} rport {DISCARD_PORT}", *kept),
    ]
    return " ".join(parts)


def relayed_only(sdp: str, nets: RelayNets) -> Filtered:
    """A description (RFC 8866) with no candidate but those of our relays, and no other address in it."""
    lines = [line.rstrip("\r") for line in sdp.split("\n")]
    kept = [filtered for line in lines if line for filtered in _filtered(line, nets)]
    relays = sum(line.startswith("a=candidate:") for line in kept)
    return Filtered("".join(f"{line}\r\n" for line in kept), relays, complete=_END in kept)


def _filtered(line: str, nets: RelayNets) -> Iterator[str]:
    kind = line[:2]
    if kind == "o=":
        yield _origin(line)
    elif kind == "c=":
        yield f"c=IN IP4 {NOBODY}"
    elif kind == "m=":
        yield _media(line)
    elif line.startswith("a=candidate:"):
        candidate = relay_candidate(line[2:], nets)
        if candidate is not None:
            yield f"a={candidate}"
    elif line.startswith("a=rtcp:"):
        yield f"a=rtcp:{DISCARD_PORT} IN IP4 {NOBODY}"
    elif _FINGERPRINT.fullmatch(line) or _says_nothing(line):
        yield line


def _says_nothing(line: str) -> bool:
    """Whether an ordinary line has no room for an address."""
    if line.startswith("a="):
        return line[2:].partition(":")[0] in _ATTRIBUTES and not _gives_away(line)
    return line[:2] in _LINES and not _gives_away(line)


def _origin(line: str) -> str:
    """`o=<name> <session> <version> IN IP4 <address>`, of which only session and version matter."""
    words = line[2:].split()
    numbers = [word for word in words[1:3] if word.isascii() and word.isdigit()]
    session, version = numbers if len(numbers) == 2 else ("0", "0")
    return f"o=- {session} {version} IN IP4 {NOBODY}"


def _media(line: str) -> str:
    """`m=<media> <port> <proto> <formats>`; a port of 0 says that it is refused, and stays."""
    words = line.split(" ")
    if len(words) > 1 and words[1] != "0":
        words[1] = DISCARD_PORT
    return " ".join(word for word in words if not _gives_away(word))


def _gives_away(text: str) -> bool:
    """Whether there is anything in it that could be read as somebody's address, or as part of one."""
    return any(found != NOBODY for found in _IPV4.findall(text)) or _IPV6.search(text) is not None
