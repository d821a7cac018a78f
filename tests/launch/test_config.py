"""The environment becomes a typed configuration, or one sentence that names the variable."""

from pathlib import Path

import pytest

from brokerage.config import SOCKET_PATH_MAX, ConfigError, load_config


def test_defaults_are_those_of_a_local_demo() -> None:
    config = load_config({})
    assert (config.env, config.port, config.host, config.durability, config.demo) == (
        "local",
        8000,
        "127.0.0.1",
        "fdatasync",
        True,
    )
    assert config.journal_dir == config.var_dir / "journal"


@pytest.mark.parametrize(
    ("_case", "environ", "names"),
    [
        ("port is a word", {"PORT": "http"}, "PORT"),
        ("port zero", {"PORT": "0"}, "PORT"),
        ("port too high", {"PORT": "65536"}, "PORT"),
        ("durability", {"DURABILITY": "maybe"}, "DURABILITY"),
        ("environment", {"BROKERAGE_ENV": "staging"}, "BROKERAGE_ENV"),
        ("switch", {"DEMO": "perhaps"}, "DEMO"),
        ("rate", {"DEMO_RATE": "-1"}, "DEMO_RATE"),
        ("text messages by what is unknown", {"SMS_BACKEND": "pigeon"}, "SMS_BACKEND"),
        ("push messages by what is unknown", {"PUSH_BACKEND": "pigeon"}, "PUSH_BACKEND"),
        (
            "a sandbox in production",
            {
                "BROKERAGE_ENV": "production",
                "ENGINE_KEYS": "/keys/engine",
                "SECRET_KEY": "x" * 40,
                "DATABASE_URL": "postgresql://x",
                "REDIS_URL": "redis://x",
                "KEYRING_FILE": "/keys.json",
                "SMS_BACKEND": "console",
            },
            "SMS_BACKEND",
        ),
        (
            "production without a key",
            {
                "BROKERAGE_ENV": "production",
                "ENGINE_KEYS": "/keys/engine",
                "DATABASE_URL": "postgresql://x",
                "REDIS_URL": "redis://x",
            },
            "SECRET_KEY",
        ),
        (
            "production with a short key",
            {
                "BROKERAGE_ENV": "production",
                "ENGINE_KEYS": "/keys/engine",
                "DATABASE_URL": "postgresql://x",
                "REDIS_URL": "redis://x",
                "SECRET_KEY": "short",
            },
            "SECRET_KEY",
        ),
        (
            "production without servers",
            {"BROKERAGE_ENV": "production", "ENGINE_KEYS": "/keys/engine", "SECRET_KEY": "x" * 40},
            "DATABASE_URL",
        ),
        (
            "production without a keyring",
            {
                "BROKERAGE_ENV": "production",
                "ENGINE_KEYS": "/keys/engine",
                "SECRET_KEY": "x" * 40,
                "DATABASE_URL": "postgresql://x",
                "REDIS_URL": "redis://x",
            },
            "KEYRING_FILE",
        ),
        ("FIX in the clear", {"FIX_HOST": "0.0.0.0"}, "TLS"),
        ("FIX host no address", {"FIX_HOST": "localhost"}, "FIX_HOST"),
        ("FIX certificate without key", {"FIX_TLS_CERT_FILE": "/x.pem"}, "FIX_TLS_KEY_FILE"),
        ("FIX name", {"FIX_COMP_ID": "A B"}, "FIX_COMP_ID"),
        ("database file missing", {"DATABASE_URL_FILE": "/nonexistent/url"}, "DATABASE_URL_FILE"),
        ("secret file missing", {"SECRET_KEY_FILE": "/nonexistent/key"}, "SECRET_KEY_FILE"),
    ],
)
def test_refuses(_case: str, environ: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        load_config(environ)


def test_a_deep_checkout_gets_a_short_socket_path() -> None:
    config = load_config({"BROKERAGE_VAR": "/tmp/" + "deep/" * 40})
    assert len(config.engine_socket) <= SOCKET_PATH_MAX
    assert config.engine_socket != load_config({"BROKERAGE_VAR": "/tmp/" + "deep/" * 41}).engine_socket


def test_secrets_come_from_files(tmp_path) -> None:
    path = tmp_path / "key"
    path.write_text("k" * 50 + "\n")
    assert load_config({"SECRET_KEY_FILE": str(path)}).secret_key == "k" * 50


def test_addresses_with_passwords_may_be_in_files(tmp_path: Path) -> None:
    (tmp_path / "database").write_text("postgresql://web:secret@db/brokerage\n")
    (tmp_path / "valkey").write_text("redis://:secret@valkey:6379/0\n")
    files = {"DATABASE_URL_FILE": str(tmp_path / "database"), "REDIS_URL_FILE": str(tmp_path / "valkey")}
    config = load_config(files)
    assert (config.database_url, config.redis_url) == (
        "postgresql://web:secret@db/brokerage",
        "redis://:secret@valkey:6379/0",
    )
    assert load_config({**files, "REDIS_URL": "redis://here"}).redis_url == "redis://here"


def test_static_files_may_lie_outside_the_data_folder() -> None:
    assert load_config({"STATIC_ROOT": "/srv/static"}).static_root == Path("/srv/static")
    assert load_config({"BROKERAGE_VAR": "/data"}).static_root == Path("/data/static")
