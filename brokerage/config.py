"""Configuration: the environment, read once into frozen, typed dataclasses.

The only reader of ``os.environ`` in the project (the launcher writes the environment of its children). A value that cannot be
used raises ``ConfigError`` with one sentence that names the variable, what is wrong with it and what it should look like.
Leaves to others: what Django does with the values (``brokerage/settings``), starting servers (``brokerage/launch``).
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from brokerage import links

BASE_DIR = Path(__file__).resolve().parent.parent
#: Linux allows 108 bytes for a Unix socket path, the closing zero included; some are kept for suffixes.
SOCKET_PATH_MAX = 96


class ConfigError(Exception):
    """A variable of the environment cannot be used; the text says which and what to do."""


@dataclass(frozen=True)
class Config:
    """Everything the platform takes from its environment. Paths are absolute; times are seconds."""

    env: str
    debug: bool
    secret_key: str
    jwt_keys_file: Path
    keyring_file: Path
    base_url: str
    host: str
    port: int
    #: Where the fallback app listens (brokerage/urls_fallback.py), its address for people, and where it asks whether the portal is well.
    fallback_port: int
    fallback_url: str
    fallback_watch: str
    allowed_hosts: tuple[str, ...]
    csrf_trusted_origins: tuple[str, ...]
    #: Partner and the origins that may show our embeddable pages in a frame.
    embed_partners: tuple[tuple[str, tuple[str, ...]], ...]
    database_url: str
    redis_url: str
    var_dir: Path
    run_dir: Path
    log_dir: Path
    #: Where collectstatic puts the files of the pages; in an image it is part of it.
    static_root: Path
    journal_dir: Path
    engine_socket: str
    #: Folder with the tokens of the engine's socket (trading/engine/services.py).
    engine_keys: Path
    #: The engine asks for them.
    engine_tokens: bool
    #: Which of the platform's processes this is; ``console`` for commands that people run.
    process: str
    durability: str
    demo: bool
    demo_rate: int
    demo_seed: int
    rate_scale: int
    test_db_suffix: str
    browser_path: str
    vault_dir: Path
    clamd: str
    kyc_url: str
    kyc_secret: str
    #: Where the administration is, without slashes at the ends.
    admin_path: str
    #: Networks staff pages are open from; empty: every one.
    staff_networks: tuple[str, ...]
    #: Staff need a second factor. Only the demo may do without.
    staff_second_factor: bool
    #: Every user needs a second factor, not only staff.
    client_second_factor: bool
    oidc_file: Path | None
    #: Exchange rates for tax documents (compliance/tax/rates.py); without it nothing is converted.
    tax_rates_file: Path | None
    audit_dir: Path
    audit_copy_dir: Path | None
    #: How text and push messages leave (brokerage/platform/messaging.py); empty: not at all.
    sms_backend: str
    push_backend: str
    #: The firm in reports to authorities: LEI, country, MIC of its book, CAT reporter id, publisher of its trades. Empty: its rows are rejected.
    report_lei: str
    report_country: str
    report_mic: str
    report_imid: str
    report_market_center: str

    #: The FIX gateway: where it listens, what it is called (TargetCompID of clients), certificate and key for TLS.
    fix_host: str
    fix_port: int
    fix_comp_id: str
    fix_tls_cert: Path | None
    fix_tls_key: Path | None

    @property
    def production(self) -> bool:
        """True in production settings, where nothing is built or defaulted on the fly."""
        return self.env == "production"


def _text(environ: Mapping[str, str], name: str, default: str) -> str:
    return environ.get(name, "").strip() or default


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    value = environ.get(name, "").strip().lower()
    if value in {"", None}:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ConfigError(f"{name}={value!r} is not a switch: use 1 or 0.")


def _whole(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    value = environ.get(name, "").strip()
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
        raise ConfigError(f"{name}={value!r} is not a whole number from {low} to {high}.")
    return int(value)


def _words(environ: Mapping[str, str], name: str, default: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in _text(environ, name, default).split(",") if word.strip())


def _admin_path(environ: Mapping[str, str]) -> str:
    path = _text(environ, "ADMIN_PATH", "admin").strip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,63}", path) or path in {"api", "desk", "static"}:
        raise ConfigError(
            f"ADMIN_PATH={path!r} cannot be used: 3 to 64 small letters, digits and hyphens, as in office-7f3a."
        )
    return path


def _embed_partners(environ: Mapping[str, str], env: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read ``name=origin origin, name=origin``."""
    partners = []
    for word in _words(environ, "EMBED_PARTNERS", ""):
        name, _, origins = word.partition("=")
        found = tuple(origins.split())
        pattern = r"https://[a-z0-9.-]+(:\d+)?" if env == "production" else r"https?://[a-z0-9.-]+(:\d+)?"
        if (
            not re.fullmatch(r"[a-z0-9-]{1,40}", name)
            or not found
            or not all(re.fullmatch(pattern, one) for one in found)
        ):
            raise ConfigError(
                f"EMBED_PARTNERS: {word!r} cannot be used: write name=https://origin, several origins with spaces."
            )
        partners.append((name, found))
    return tuple(partners)


def _watched(environ: Mapping[str, str], default: str) -> str:
    url = _text(environ, "FALLBACK_WATCH", default)
    if not re.fullmatch(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?", url):
        raise ConfigError(f"FALLBACK_WATCH={url!r} cannot be used: write it as in http://127.0.0.1:8000.")
    return url


def _networks(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    words = _words(environ, name, "")
    for word in words:
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ConfigError(f"{name}: {word!r} is not a network, as in 203.0.113.0/24.") from error
    return words


def _staff_second_factor(environ: Mapping[str, str], *, demo: bool, env: str) -> bool:
    wanted = _flag(environ, "STAFF_SECOND_FACTOR", not demo)
    if not wanted and (env == "production" or not demo):
        raise ConfigError(
            "STAFF_SECOND_FACTOR=0 is for the demo only: staff of a real installation need a second factor."
        )
    return wanted


def _channel(environ: Mapping[str, str], name: str, *, demo: bool, env: str) -> str:
    """Read which adapter carries messages of a kind; without a value the sandbox, in production none."""
    real = env == "production" and not demo
    wanted = _text(environ, name, "" if real else "console").lower()
    if wanted not in {"console", "off", ""}:
        raise ConfigError(f"{name}={wanted!r} is unknown: use console (a sandbox) or off.")
    if wanted == "console" and real:
        raise ConfigError(f"{name}=console is a sandbox that reaches nobody: in production it is for the demo only.")
    return "" if wanted == "off" else wanted


def _code(environ: Mapping[str, str], name: str, default: str, form: str) -> str:
    """Read a registered code of the firm; its form is demanded, whether it is registered only its register knows."""
    value = _text(environ, name, default).upper()
    if value and not re.fullmatch(form, value):
        raise ConfigError(f"{name}={value!r} cannot be used: it has another form (docs/reports.md).")
    return value


def _secret(environ: Mapping[str, str], name: str, env: str) -> str:
    """Read a secret from NAME or the file NAME_FILE; outside production derive a fixed local one."""
    value = _text_or_file(environ, name)
    if value:
        if env == "production" and len(value) < 32:
            raise ConfigError(f"{name} is too short for production: use at least 32 random characters.")
        return value
    if env == "production":
        raise ConfigError(
            f"{name} is not set: in production give it, or {name}_FILE with the path of a file that holds it."
        )
    # Local secrets need only be stable for this checkout, so that sessions outlive a restart.
    return hashlib.sha256(f"local {name} of {BASE_DIR}".encode()).hexdigest()


def _text_or_file(environ: Mapping[str, str], name: str) -> str:
    """Read NAME or, where only a file may hold it (a password is in it), the file NAME_FILE."""
    value, path = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
    if value or not path:
        return value
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(f"{name}_FILE={path!r} cannot be read ({error.strerror}).") from error


def _fix(environ: Mapping[str, str], port: int) -> dict[str, Any]:
    """Where FIX sessions come in. Beyond loopback only with TLS: passwords and orders would go over the wire in the clear."""
    host, comp_id = _text(environ, "FIX_HOST", "127.0.0.1"), _text(environ, "FIX_COMP_ID", "BROKERAGE")
    cert, key = _text(environ, "FIX_TLS_CERT_FILE", ""), _text(environ, "FIX_TLS_KEY_FILE", "")
    if bool(cert) != bool(key):
        raise ConfigError(
            "FIX_TLS_CERT_FILE and FIX_TLS_KEY_FILE belong together: give the paths of both, or of neither."
        )
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise ConfigError(f"FIX_HOST={host!r} is not an IP address, as in 127.0.0.1.") from error
    if not loopback and not cert:
        raise ConfigError(
            f"FIX_HOST={host} is open to others without TLS: give FIX_TLS_CERT_FILE and FIX_TLS_KEY_FILE, or listen on 127.0.0.1"
            " behind a TLS front."
        )
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", comp_id):
        raise ConfigError(f"FIX_COMP_ID={comp_id!r} cannot be used: 1 to 32 letters, digits, dots, hyphens.")
    return {
        "fix_host": host,
        # Beside the portal, so that two checkouts do not meet.
        "fix_port": _whole(environ, "FIX_PORT", port + 2000 if port < 63000 else port - 2000, 1, 65535),
        "fix_comp_id": comp_id,
        "fix_tls_cert": Path(cert).resolve() if cert else None,
        "fix_tls_key": Path(key).resolve() if key else None,
    }


def _given(environ: Mapping[str, str], name: str) -> bool:
    """Tell whether a secret is set, itself or by its file."""
    return bool(environ.get(name, "").strip() or environ.get(f"{name}_FILE", "").strip())


def _keyring_file(environ: Mapping[str, str], env: str, var_dir: Path) -> Path:
    default = "" if env == "production" else str(var_dir / "keys" / "keyring.json")
    path = _text(environ, "KEYRING_FILE", default)
    if not path:
        raise ConfigError("KEYRING_FILE must be set in production: the path of the file with the encryption keys.")
    return Path(path).resolve()


def _socket_path(path: Path) -> str:
    """Return a socket path short enough for the kernel, in a folder of this user's own when the natural one is too long."""
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return str(path)
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return str(Path(tempfile.gettempdir()) / f"brokerage-{os.getuid()}-{digest}" / path.name)


def load_config(environ: Mapping[str, str]) -> Config:
    """Build the configuration from a mapping; raises ConfigError."""
    env = _text(environ, "BROKERAGE_ENV", "local")
    production = env == "production"
    if env not in {"local", "test", "production"}:
        raise ConfigError(f"BROKERAGE_ENV={env!r} is unknown: use local, test or production.")
    var_dir = Path(_text(environ, "BROKERAGE_VAR", str(BASE_DIR / "var"))).resolve()
    run_dir = var_dir / "run"
    demo = _flag(environ, "DEMO", env == "local")
    port = _whole(environ, "PORT", 8000, 1, 65535)
    host = _text(environ, "HOST", "127.0.0.1")
    fallback_port = _whole(environ, "FALLBACK_PORT", port + 10 if port < 65_000 else port - 10, 1, 65535)
    if fallback_port == port:
        raise ConfigError(f"FALLBACK_PORT={fallback_port} is the portal's own PORT: the fallback app needs another.")
    here = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
    durability = _text(environ, "DURABILITY", "fdatasync")
    if durability not in {"fdatasync", "os"}:
        raise ConfigError(f"DURABILITY={durability!r} is unknown: use fdatasync (safe) or os (page cache only).")
    base_url = _text(environ, "BASE_URL", f"http://{here}:{port}")
    database_url = _text_or_file(environ, "DATABASE_URL")
    redis_url = _text_or_file(environ, "REDIS_URL")
    if env == "production" and not (database_url and redis_url):
        raise ConfigError("DATABASE_URL and REDIS_URL must be set in production.")
    if production and not environ.get("ENGINE_KEYS", "").strip():
        raise ConfigError(
            "ENGINE_KEYS must be set in production: the folder with the tokens of the engine's socket (docs/operations.md)."
        )
    secret_key = _secret(environ, "SECRET_KEY", env)
    keyring_file = _keyring_file(environ, env, var_dir)
    config = Config(
        env=env,
        debug=_flag(environ, "DEBUG", False),
        secret_key=secret_key,
        keyring_file=keyring_file,
        # Beside the keyring, in the same private folder.
        jwt_keys_file=Path(_text(environ, "JWT_KEYS_FILE", str(keyring_file.with_name("jwt.json")))).resolve(),
        base_url=base_url,
        host=host,
        port=port,
        fallback_port=fallback_port,
        fallback_url=_text(environ, "FALLBACK_URL", f"http://{here}:{fallback_port}"),
        # Not by its public name: that leads through the proxy, which may be what is down.
        fallback_watch=_watched(environ, f"http://{here}:{port}"),
        allowed_hosts=_words(
            environ, "ALLOWED_HOSTS", "" if env == "production" else "127.0.0.1,localhost,[::1],testserver"
        ),
        csrf_trusted_origins=_words(
            environ, "CSRF_TRUSTED_ORIGINS", f"{base_url},http://localhost:{port}" if env != "production" else base_url
        ),
        embed_partners=_embed_partners(environ, env),
        database_url=database_url,
        redis_url=redis_url,
        var_dir=var_dir,
        run_dir=run_dir,
        log_dir=var_dir / "log",
        static_root=Path(_text(environ, "STATIC_ROOT", str(var_dir / "static"))).resolve(),
        journal_dir=Path(_text(environ, "JOURNAL_DIR", str(var_dir / "journal"))).resolve(),
        engine_socket=_socket_path(Path(_text(environ, "ENGINE_SOCKET", str(run_dir / "engine.sock")))),
        engine_keys=Path(_text(environ, "ENGINE_KEYS", str(var_dir / "keys" / "engine"))).resolve(),
        engine_tokens=bool(_text(environ, "ENGINE_KEYS", "")),
        process=_text(environ, "BROKERAGE_PROCESS", "console"),
        durability=durability,
        demo=demo,
        demo_rate=_whole(environ, "DEMO_RATE", 60, 0, 5000),
        demo_seed=_whole(environ, "DEMO_SEED", 20261121, 0, 2**63 - 1),
        # Multiplies every request budget of the API; for load tests.
        rate_scale=_whole(environ, "RATE_SCALE", 1, 1, 10_000),
        test_db_suffix=_text(environ, "TEST_DB_SUFFIX", ""),
        browser_path=_text(environ, "CHROMIUM", ""),
        vault_dir=Path(_text(environ, "VAULT_DIR", str(var_dir / "vault"))).resolve(),
        # host:port or the path of a socket; without a scanner production keeps every upload in quarantine.
        clamd=_text(environ, "CLAMD", ""),
        # The demo's vendor listens beside the portal, a thousand ports away.
        kyc_url=_text(environ, "KYC_URL", f"http://127.0.0.1:{port + 1000 if port < 64000 else port - 1000}"),
        kyc_secret=_secret(environ, "KYC_SECRET", env) if not production or _given(environ, "KYC_SECRET") else "",
        admin_path=_admin_path(environ),
        staff_networks=_networks(environ, "STAFF_NETWORKS"),
        client_second_factor=_flag(environ, "CLIENT_SECOND_FACTOR", not demo),
        staff_second_factor=_staff_second_factor(environ, demo=demo, env=env),
        # Exchange rates for tax documents; without the file amounts in other currencies are not converted.
        tax_rates_file=Path(rates).resolve() if (rates := _text(environ, "TAX_RATES_FILE", "")) else None,
        # Providers for signing in with OpenID Connect; without the file there are none (docs/identity.md).
        oidc_file=Path(oidc).resolve() if (oidc := _text(environ, "OIDC_FILE", "")) else None,
        # Signed checkpoints of the audit trail go to files here and, when given, to a second folder (another disk, a mounted store).
        audit_dir=Path(_text(environ, "AUDIT_DIR", str(var_dir / "audit" / "checkpoints"))).resolve(),
        audit_copy_dir=Path(copy).resolve() if (copy := _text(environ, "AUDIT_COPY_DIR", "")) else None,
        **_fix(environ, port),
        sms_backend=_channel(environ, "SMS_BACKEND", demo=demo, env=env),
        push_backend=_channel(environ, "PUSH_BACKEND", demo=demo, env=env),
        # Those of the demo say so; their form is right, and no authority knows them.
        report_lei=_code(environ, "REPORT_LEI", "DEMO00BROKERAGE00020" if demo else "", r"[A-Z0-9]{18}[0-9]{2}"),
        report_country=_code(environ, "REPORT_COUNTRY", "GB" if demo else "", r"[A-Z]{2}"),
        report_mic=_code(environ, "REPORT_MIC", "DEMO" if demo else "", r"[A-Z0-9]{4}"),
        report_imid=_code(environ, "REPORT_IMID", "DEMO" if demo else "", r"[A-Z0-9]{1,7}"),
        report_market_center=_code(environ, "REPORT_MARKET_CENTER", "DEMO" if demo else "", r"[A-Z]{1,4}"),
    )
    if production:
        for fault in links.faults(
            database_url=config.database_url, redis_url=config.redis_url, clamd=config.clamd, kyc_url=config.kyc_url
        ):
            raise ConfigError(fault)
    return config


@lru_cache(maxsize=1)
def get_config() -> Config:
    """Return the configuration of this process, read from the environment once."""
    return load_config(os.environ)
