"""FIX over TLS: the gateway proves who it is, speaks nothing old and nothing in the clear."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from brokerage.kernel.clock import utc_now
from tests.conftest_engine import LivePlatform, Trader
from tests.fix.client import FixClient
from tests.fix.conftest import LiveFix, gateway_on


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1)).add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "gateway")


@pytest.fixture(scope="module")
def live_fix(live_platform: LivePlatform, live_database: str, ours: tuple[Path, Path]) -> Iterator[LiveFix]:
    """In place of the one in the clear."""
    yield from gateway_on(live_platform, live_database, FIX_TLS_CERT_FILE=str(ours[0]), FIX_TLS_KEY_FILE=str(ours[1]))


def test_a_client_that_knows_the_certificate_trades(session: Any, taker: Trader, price: Any, ours: Any) -> None:
    client = session(taker).client
    client.tls = ssl.create_default_context(cafile=ours[0])
    client.logon(reset=True)
    assert client.socket.version() in {"TLSv1.2", "TLSv1.3"}
    client.order("over-tls", "1", "1", str(price - 1), _59="1")
    client.expect("8", _150="0", _11="over-tls")
    client.cancel("over-tls-gone", "over-tls", "1")
    client.expect("8", _150="4", _11="over-tls-gone")
    client.logout()


def test_a_client_that_knows_another_certificate_says_nothing(session: Any, taker: Trader, tmp_path: Path) -> None:
    client = session(taker).client
    client.tls = ssl.create_default_context(cafile=certificate(tmp_path, "stranger")[0])
    with pytest.raises(ssl.SSLCertVerificationError):
        client.connect()


def test_nothing_older_than_tls_1_2(session: Any, taker: Trader) -> None:
    client = session(taker).client
    client.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.tls.check_hostname, client.tls.verify_mode = False, ssl.CERT_NONE
    # So that it is the gateway that refuses, not this side's own library.
    client.tls.set_ciphers("ALL:@SECLEVEL=0")
    client.tls.minimum_version = client.tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.connect()


def test_a_password_in_the_clear_gets_no_session(session: Any, taker: Trader) -> None:
    client: FixClient = session(taker).client
    client.connect()
    client.logon_send(reset=True)
    # TLS answers what is no handshake with an alert of its own, then the end; no FIX message comes.
    client.socket.settimeout(10)
    said = b""
    try:
        while part := client.socket.recv(4096):
            said += part
    except ConnectionResetError:
        pass
    assert b"8=FIX" not in said
