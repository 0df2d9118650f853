"""Rings through FCM, beside firebase-admin's own sending: how fast, at what cost, and what else on the node notices."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.bench.figures import Figure, figure
from tests.bench.push_sides import Measured
from tests.support.engines import Engines

DEADLINE_S = 120


async def run(_engines: Engines) -> dict[str, Figure]:
    """3,000 rings in waves of 500 to a stand-in of FCM over TLS, then the same through `messaging.send_each_async`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_certificate(folder)
        async with _standin(folder):
            beside = await _side("beside", folder)
            ours = await _side("ours", folder)
    return {
        "push_rate": figure(ours.rate, "1/s", beside.rate),
        "push_cpu": figure(ours.cpu_us, "us/message", beside.cpu_us),
        "push_loop_lag_p99": figure(ours.lag_p99_ms, "ms", beside.lag_p99_ms),
        "push_wave_500": figure(ours.warm_wave_s, "s", beside.warm_wave_s),
        "push_wave_500_cold": figure(ours.cold_wave_s, "s", beside.cold_wave_s),
    }


@asynccontextmanager
async def _standin(folder: Path) -> AsyncIterator[None]:
    process = await _start("standin", folder)
    try:
        if process.stdout is None or not await asyncio.wait_for(process.stdout.readline(), DEADLINE_S):
            raise RuntimeError("the stand-in did not start")
        yield
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await asyncio.wait_for(process.wait(), DEADLINE_S)


async def _side(name: str, folder: Path) -> Measured:
    process = await _start(name, folder)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    return Measured(**json.loads(out))


async def _start(name: str, folder: Path) -> asyncio.subprocess.Process:
    # What google-auth and httpx trust.
    trust = {name: str(folder / "certificate.pem") for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.push_sides", name, str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **trust},
    )


def _make_certificate(folder: Path) -> None:
    """Self-signed, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
