"""Links of a production installation: plain within the machine, encrypted and proved over the network, or no start."""

from __future__ import annotations

import pytest

from brokerage.config import ConfigError, load_config
from brokerage.links import database_fault, scanner_fault, valkey_fault, vendor_fault

PRODUCTION = {
    "BROKERAGE_ENV": "production",
    "SECRET_KEY": "x" * 40,
    "KEYRING_FILE": "/keys.json",
    "ENGINE_KEYS": "/keys/engine",
    "DATABASE_URL": "postgresql://web@/brokerage?host=/run/postgresql",
    "REDIS_URL": "unix:///run/valkey.sock",
}


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://web@/brokerage", True),
        ("postgresql://web@/brokerage?host=/run/postgresql", True),
        ("postgresql://web:p@127.0.0.1:6432/brokerage", True),
        ("postgresql://web:p@[::1]/brokerage", True),
        ("postgresql://web:p@localhost/brokerage", True),
        ("postgresql://web:p@db/brokerage", False),
        ("postgresql://web:p@10.0.0.5/brokerage", False),
        ("postgresql://web:p@127.0.0.1.example/brokerage", False),
        ("postgresql://web:p@/brokerage?host=db", False),
        ("postgresql://web:p@/brokerage?host=/run/postgresql,db", False),
        ("postgresql://web:p@db/brokerage?sslmode=require", False),
        ("postgresql://web:p@db/brokerage?sslmode=verify-ca", False),
        ("postgresql://web:p@db/brokerage?sslmode=verify-full&sslmode=disable", False),
        ("postgresql://web:p@db/brokerage?sslmode=verify-full&sslrootcert=/ca.pem", True),
    ],
)
def test_postgresql(url: str, safe: bool) -> None:
    assert (database_fault(url) == "") is safe


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("unix:///run/valkey.sock", True),
        ("redis://:p@127.0.0.1:6379/0", True),
        ("redis://127.0.0.1:6379/0", False),
        ("redis://:p@valkey:6379/0", False),
        ("rediss://:p@valkey:6379/0", True),
        ("rediss://valkey:6379/0", False),
        ("rediss://:p@valkey:6379/0?ssl_cert_reqs=none", False),
        ("rediss://:p@valkey:6379/0?ssl_check_hostname=False", False),
    ],
)
def test_valkey(url: str, safe: bool) -> None:
    assert (valkey_fault(url) == "") is safe


@pytest.mark.parametrize(
    ("address", "safe"),
    [("", True), ("/run/clamd.sock", True), ("127.0.0.1:3310", True), ("[::1]:3310", True), ("localhost:3310", True), ("scan:3310", False),
     (":3310", False)],
)  # fmt: skip
def test_scanner(address: str, safe: bool) -> None:
    assert (scanner_fault(address) == "") is safe


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://kyc.example", True),
        ("http://127.0.0.1:9000", True),
        ("http://kyc.example", False),
        ("ftp://kyc.example", False),
    ],
)
def test_vendor(url: str, safe: bool) -> None:
    assert (vendor_fault(url) == "") is safe


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://web:p@db/brokerage"),
        ("REDIS_URL", "redis://:p@valkey/0"),
        ("CLAMD", "scan:3310"),
        ("KYC_URL", "http://kyc.example"),
        ("ENGINE_KEYS", ""),
    ],
)
def test_production_does_not_start_with_an_open_link_and_everything_else_does(name: str, value: str) -> None:
    assert load_config(PRODUCTION).production
    with pytest.raises(ConfigError, match=name):
        load_config({**PRODUCTION, name: value})
    local = {"DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://valkey", name: value}
    assert not load_config(local).production
