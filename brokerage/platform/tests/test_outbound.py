"""Outbound calls go to public, listed names over verified TLS, to the very address that was checked; never inwards."""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.platform.outbound import ANSWER_MAX, BODY_MAX, address_is_public, outbound_post, target_check

LIST = ("hooks.example.com", "*.partner.example.org")
PUBLIC = "93.184.215.14"


def public(host: str, port: int) -> list[str]:
    return [PUBLIC]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1", "no address", "",
    ],
)  # fmt: skip
def test_inner_addresses_are_not_public(address: str) -> None:
    assert not address_is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_outer_addresses_are(address: str) -> None:
    assert address_is_public(address)


@pytest.mark.parametrize(
    ("_case", "url"),
    [
        ("plain http", "http://hooks.example.com/"),
        ("file", "file:" + "//" + "/etc/passwd"),
        ("gopher", "gopher://hooks.example.com/"),
        ("no scheme", "//hooks.example.com/"),
        ("not listed", "https://evil.example.net/"),
        ("ends like a listed one", "https://evilhooks.example.com/"),
        ("listed as a part", "https://hooks.example.com.evil.example.net/"),
        ("the parent of a wildcard", "https://partner.example.org/"),
        ("credentials", "https://hooks.example.com@evil.example.net/"),
        ("credentials before a listed name", "https://user:pass@hooks.example.com/"),
        ("backslash", "https://hooks.example.com\\@evil.example.net/"),
        ("line break", "https://hooks.example.com/\r\nHost: evil"),
        ("blank", "https://hooks.example.com/a b"),
        ("odd port", "https://hooks.example.com:22/"),
        ("port no number", "https://hooks.example.com:x/"),
        ("address", "https://169.254.169.254/latest/meta-data/"),
        ("address in decimal", "https://2130706433/"),
        ("address in hexadecimal", "https://0x7f000001/"),
        ("address in octal", "https://0177.0.0.1/"),
        ("address in IPv6", "https://[::1]/"),
        ("localhost", "https://localhost/"),
        ("inner name", "https://metadata.google.internal/"),
        ("full-width letters", "https://hooks。example。com/"),
        ("endless", "https://hooks.example.com/" + "a" * 3000),
        ("nothing", ""),
    ],
)
def test_what_is_not_plainly_allowed_is_refused_before_any_look_up(_case: str, url: str) -> None:
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC]

    with pytest.raises(RejectedError) as caught:
        target_check(url, LIST, resolver=resolver)
    assert caught.value.code == 7057
    assert asked == []


def test_inner_names_are_refused_even_when_listed() -> None:
    for host in ("metadata.google.internal", "printer.local", "localhost"):
        with pytest.raises(RejectedError):
            target_check(f"https://{host}/", (host,), resolver=public)


def test_listed_names_and_names_below_a_wildcard_pass() -> None:
    assert target_check("https://hooks.example.com/a?b=1", LIST, resolver=public).path == "/a?b=1"
    target = target_check("https://a.b.partner.example.org:8443", LIST, resolver=public)
    assert (target.host, target.port, target.path, target.address) == ("a.b.partner.example.org", 8443, "/", PUBLIC)
    with pytest.raises(RejectedError):
        target_check("https://hooks.example.com/", (), resolver=public)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["::ffff:127.0.0.1"], []])
def test_one_inner_address_spoils_the_name(addresses: list[str]) -> None:
    with pytest.raises(RejectedError) as caught:
        target_check("https://hooks.example.com/", LIST, resolver=lambda host, port: addresses)
    assert caught.value.code == 7057


def test_a_name_without_address_is_refused() -> None:
    def resolver(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(RejectedError):
        target_check("https://hooks.example.com/", LIST, resolver=resolver)


class Stub(HTTPServer):
    """A server inside our walls that counts who comes."""

    hits: list[tuple[str, str, bytes]]


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[tuple[Stub, ssl.SSLContext]]:
    """A TLS server on loopback with a certificate for hooks.example.com, and a context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "hooks.example.com")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(utc_now() - datetime.timedelta(days=1)).not_valid_after(utc_now() + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.com")]), False).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = tmp_path / "cert.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.hits.append((self.headers["Host"], self.path, body))  # type: ignore[attr-defined]
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "https://169.254.169.254/")
            self.end_headers()
            self.wfile.write(b"x" * (ANSWER_MAX * 2))

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = Stub(("127.0.0.1", 0), Handler)
    server.hits = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    trusting = ssl.create_default_context(cafile=str(pem))
    yield server, trusting
    server.shutdown()
    thread.join()
    server.server_close()


def check(url: str, port: int, resolver: Any) -> Any:
    """As the product does, but loopback counts as public for this test."""
    return target_check(url, LIST, resolver=resolver, address_check=lambda address: True, ports=(port,))


def test_the_call_goes_to_the_checked_address_although_the_name_has_moved_meanwhile(
    stub: tuple[Stub, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, trusting = stub
    answers = [["127.0.0.1"], ["203.0.113.66"]]
    port = server.server_address[1]
    target = check(f"https://hooks.example.com:{port}/in", port, lambda host, p: answers.pop(0))
    monkeypatch.setattr("brokerage.platform.outbound.resolve", lambda host, p: pytest.fail("asked again"))
    answer = outbound_post(target, body=b"{}", headers={"Content-Type": "application/json"}, context=trusting)
    assert (answer.status, len(answer.body)) == (200, ANSWER_MAX)
    assert server.hits == [(f"hooks.example.com:{port}", "/in", b"{}")]
    assert len(answers) == 1


def test_a_redirect_is_not_followed(stub: tuple[Stub, ssl.SSLContext]) -> None:
    server, trusting = stub
    port = server.server_address[1]
    target = check(f"https://hooks.example.com:{port}/moved", port, lambda host, p: ["127.0.0.1"])
    assert outbound_post(target, body=b"", headers={}, context=trusting).status == 302
    assert len(server.hits) == 1


def test_a_certificate_of_another_name_is_refused(stub: tuple[Stub, ssl.SSLContext]) -> None:
    server, trusting = stub
    port = server.server_address[1]
    target = check(f"https://x.partner.example.org:{port}/", port, lambda host, p: ["127.0.0.1"])
    with pytest.raises(OSError, match=r"(?i)certificate|hostname"):
        outbound_post(target, body=b"", headers={}, context=trusting)
    assert server.hits == []


def test_a_metadata_stub_inside_is_never_reached(stub: tuple[Stub, ssl.SSLContext]) -> None:
    server, _ = stub
    port = server.server_address[1]
    for resolver in (lambda host, p: ["127.0.0.1"], lambda host, p: [PUBLIC, "127.0.0.1"]):
        for url in (f"https://hooks.example.com:{port}/", f"https://127.0.0.1:{port}/", f"https://localhost:{port}/"):
            with pytest.raises(RejectedError):
                target_check(url, LIST, resolver=resolver, ports=(port,))
    assert server.hits == []


def test_headers_cannot_be_broken_and_bodies_are_bounded() -> None:
    target = target_check("https://hooks.example.com/", LIST, resolver=public)
    with pytest.raises(ValueError, match="Invalid header value"):
        outbound_post(target, body=b"", headers={"X-Note": "a\r\nHost: evil"})
    with pytest.raises(RejectedError) as caught:
        outbound_post(target, body=b"x" * (BODY_MAX + 1), headers={})
    assert caught.value.code == 1020
