"""For `eyeline dev --lan`: this machine's address, a certificate for it, and a QR code to type nothing on a phone.

Browsers give pages a camera only over https (or on localhost), so a real phone needs the former.
"""

from __future__ import annotations

import io
import ipaddress
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import segno
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=30)
_ANYWHERE = ("192.0.2.1", 9)
"""An address reserved for documentation (RFC 5737): asking the way there sends nothing."""


class NoNetwork(Exception):
    """This machine has no address that others could reach."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate and its key, as PEM files."""

    certificate: Path
    key: Path


def lan_address() -> str:
    """The IPv4 address by which this machine would speak to its network; raises `NoNetwork`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            raise NoNetwork("this machine has no network address that a phone could reach") from None
        address: str = probe.getsockname()[0]
        return address


def make_certificate(directory: Path, address: str) -> Certificate:
    """A new certificate for `address` and localhost, valid 30 days, in `directory`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Eyeline on this network")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(_names(address), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    directory.mkdir(parents=True, exist_ok=True)
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.unlink(missing_ok=True)
    with os.fdopen(os.open(made.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    return made


def qr_code(text: str) -> str:
    """`text` as a QR code of block characters, for a terminal."""
    drawing = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawing, compact=True)
    return drawing.getvalue()


def _names(address: str) -> x509.SubjectAlternativeName:
    addresses = {address, "127.0.0.1"}
    return x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in sorted(addresses))]
    )
