"""What a phone on the same network needs: an address, a certificate for it, a code to scan."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from server.lan import NoNetwork, lan_address, make_certificate, qr_code


class TestCertificate:
    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "10.1.2.3"])
    def test_is_trusted_for_the_address_by_who_trusts_it(self, tmp_path: Path, name: str) -> None:
        made = make_certificate(tmp_path / "lan", "10.1.2.3")
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(made.certificate, made.key)
        calling = ssl.create_default_context(cafile=made.certificate)
        here, there = socket.socketpair()
        with here, there:
            server = threading.Thread(target=lambda: serving.wrap_socket(there, server_side=True).close())
            server.start()
            with calling.wrap_socket(here, server_hostname=name) as secured:
                assert secured.version() == "TLSv1.3"
            server.join(10)

    def test_a_new_one_replaces_the_old_one(self, tmp_path: Path) -> None:
        first = make_certificate(tmp_path, "10.1.2.3").certificate.read_bytes()
        assert make_certificate(tmp_path, "10.1.2.3").certificate.read_bytes() != first

    def test_its_key_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        made = make_certificate(tmp_path, "10.1.2.3")
        assert stat.S_IMODE(made.key.stat().st_mode) == 0o600


def test_a_machine_without_network_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.socket.connect", unreachable)
    with pytest.raises(NoNetwork, match="no network address"):
        lan_address()


def test_the_code_is_drawn_with_blocks() -> None:
    drawing = qr_code("https://10.1.2.3:8080/requester")
    rows = drawing.splitlines()
    assert len(rows) > 10
    assert {len(row) for row in rows if row} == {len(rows[0])}
    assert set(drawing) <= set("█▀▄ \n")
