"""A client's life on a running platform, through its own pages and API, and every secret that came up in it.

Nothing is looked up behind the platform's back: secrets are taken where a person would see them (pages, cookies, mails, answers).
"""

from __future__ import annotations

import base64
import io
import json
import re
import secrets
import time
from datetime import date, timedelta
from typing import Any

import httpx
from PIL import Image

from brokerage.platform.signing import canonical_string, signature_of
from tests.authenticator import STEP_S, code_of, step_with_room
from tests.live_platform import LivePlatform


class Life:
    """Walk through it; ``secrets`` by name afterwards, ``pages`` the answers to mistakes and faults: (what, body)."""

    def __init__(self, platform: LivePlatform) -> None:
        self.platform = platform
        self.http = httpx.Client(base_url=platform.base, timeout=30, trust_env=False)
        mark = secrets.token_hex(4)
        self.email = f"canary-{mark}@example.test"
        self.secrets: dict[str, bytes | str] = {
            "password": f"Canary-first-{secrets.token_hex(8)}",
            "mistyped password": f"Canary-wrong-{secrets.token_hex(8)}",
            "next password": f"Canary-next-{secrets.token_hex(8)}",
            "legal name": f"Zyxwert {mark.upper()}feld",
            "address": f"Kanarienweg {mark}",
            "city": f"Vogelstadt{mark}",
            "tax id": f"TAXCANARY{mark.upper()}",
            "phone": f"+4930{secrets.randbelow(10**9):09d}",
            "iban": "GB29NWBK60161331926819",
            "birth date": "1987-03-29",
        }
        self.pages: list[tuple[str, bytes]] = []
        self.next_step = 0

    # ---- steps ------------------------------------------------------------------------------------------------------

    def post(self, path: str, data: dict[str, Any], **more: Any) -> httpx.Response:
        """Send a form of a page, with its token."""
        token = self.http.cookies.get("csrftoken") or ""
        if not token:
            self.http.get("/signin")
            token = self.http.cookies.get("csrftoken") or ""
        return self.http.post(path, data=data, headers={"X-CSRFToken": token}, **more)

    def keep_cookies(self, when: str) -> None:
        """Session and device keys of now."""
        for name in ("sessionid", "device"):
            value = self.http.cookies.get(name)
            if value:
                self.secrets[f"{name} cookie, {when}"] = value

    def mail_link(self, path: str) -> str:
        """The newest link of a kind in the mails to this client."""
        until = time.monotonic() + 60
        while True:
            texts = [
                file.read_text().replace("=\n", "").replace("=3D", "=")
                for file in sorted((self.platform.var / "mail").glob("*.log"), key=lambda file: file.stat().st_mtime_ns)
            ]
            mails = [text for text in texts if self.email in text]
            found = re.findall(rf"http://[^/\s]+(/{path}/\S+)", "\n".join(mails))
            if found:
                return found[-1]
            if time.monotonic() > until:
                raise AssertionError(f"no mail with a link to /{path}/")
            time.sleep(0.2)

    def code(self, secret: str) -> str:
        """What the authenticator shows; each call takes the next step, because a step counts once."""
        time.sleep(max(0.0, self.next_step * STEP_S - time.time() + 0.05))
        step = step_with_room()
        self.next_step = step + 1
        return code_of(secret, step)

    def live(self) -> None:
        """All of it."""
        self.register()
        self.second_factor()
        self.personal()
        self.program()
        self.mistakes()

    def register(self) -> None:
        """Register, confirm, sign in, wrongly first."""
        form = {"email": self.email, "display_name": "Canary", "country": "GB", "terms": "on"}
        weak = self.post("/signup", form | {"password": self.secrets["mistyped password"], "country": ""})
        self.pages.append(("sign-up refused", weak.content))
        assert weak.status_code == 400
        assert self.post("/signup", form | {"password": self.secrets["password"]}).status_code == 302
        link = self.mail_link("confirm")
        self.secrets["confirmation link"] = link.rpartition("/")[2].split(":")[0]
        assert self.post(link, {}).status_code == 302
        wrong = self.post("/signin", {"email": self.email, "password": self.secrets["mistyped password"]})
        self.pages.append(("sign-in refused", wrong.content))
        assert wrong.status_code == 401
        # A password typed where the address belongs happens every day.
        self.pages.append(
            ("password as address", self.post("/signin", {"email": "x", "password": self.secrets["password"]}).content)
        )
        done = self.post("/signin", {"email": self.email, "password": self.secrets["password"]})
        assert done.status_code == 302, done.text
        self.keep_cookies("signed in")

    def second_factor(self) -> None:
        """Authenticator, recovery codes, an API key."""
        page = self.http.get("/security/authenticator")
        found = re.search(r"\b[A-Z2-7]{32}\b", page.text)
        assert found, page.status_code
        seed = found[0]
        self.secrets |= {"authenticator seed": seed, "authenticator seed, raw": base64.b32decode(seed)}
        refused = self.post("/security/authenticator", {"code": "000000"})
        assert refused.status_code == 401
        done = self.post("/security/authenticator", {"code": self.code(seed)})
        assert done.status_code == 200, done.status_code
        codes = re.findall(r"<li>([A-Z2-9]{6}(?:-[A-Z2-9]{6}){3})</li>", done.text)
        assert len(codes) == 10
        for number, code in enumerate(codes):
            self.secrets[f"recovery code {number}"] = code
            self.secrets[f"recovery code {number}, plain"] = code.replace("-", "")
        self.keep_cookies("with factor")
        made = self.post("/profile/api-keys", {"name": "canary", "scopes": ["read", "trade"], "expires_in_days": "30"})
        key = re.search(r"bk_[\w-]{16}", made.text)
        secret = re.search(r'<dd class="mono">([\w-]{43})</dd>', made.text)
        assert key, made.text[-2000:]
        assert secret
        self.secrets["API secret"] = secret[1]
        now_ms, nonce = str(time.time_ns() // 1_000_000), secrets.token_urlsafe(16)
        canonical = canonical_string("GET", "/api/v1/accounts", "", now_ms, nonce, b"")
        answer = self.http.get(
            "/api/v1/accounts",
            headers={
                "X-Api-Key": key[0],
                "X-Api-Timestamp": now_ms,
                "X-Api-Nonce": nonce,
                "X-Api-Signature": signature_of(secret[1].encode(), canonical),
            },
        )
        assert answer.status_code == 200, answer.text
        self.seed, self.codes = seed, codes

    def personal(self) -> None:
        """Profile, onboarding answers, a passport, the check by the vendor, an export of one's own data."""
        values = self.secrets
        fields = {
            "legal_name": values["legal name"],
            "birth_date": values["birth date"],
            "address": values["address"],
            "tax_id": values["tax id"],
            "phone": values["phone"],
            "country": "GB",
            "citizenship": "GB",
        }
        assert self.post("/profile/personal", fields).status_code == 302
        assert self.post("/profile/personal", fields | {"legal_name": f"{values['legal name']} II"}).status_code == 302
        steps: dict[str, dict[str, Any]] = {
            "identity": {
                "first_name": "Kira", "last_name": values["legal name"], "birth_date": values["birth date"],
                "nationality": "GB",
            },
            "address": {
                "street": values["address"], "city": values["city"], "postal_code": "LS1 1AA", "country": "GB",
            },
            "suitability": {
                "experience": "some", "occupation": "employed", "expected_deposit": "under_10k", "funds_from": "salary",
                "leverage": "All of it", "stop": "At the next price there is, which may be worse", "crypto": "Nobody",
            },
            "tax": {"country": "GB", "tax_number": "1955839661", "us_person": ""},
            "bank": {"holder": values["legal name"], "iban": values["iban"]},
        }  # fmt: skip
        for name, data in steps.items():
            answer = self.post(f"/onboarding/steps/{name}", data)
            assert answer.status_code == 302, (name, re.findall(r"error[^<]*<?[^<]*", answer.text)[:5])
        document = {"kind": "passport", "expires_on": (date.today() + timedelta(days=900)).isoformat()}  # noqa: DTZ011
        self.secrets["passport"] = picture = noise()
        answer = self.post(
            "/onboarding/steps/id_document", document, files={"file": ("passport.png", picture, "image/png")}
        )
        assert answer.status_code == 302, answer.status_code
        link = re.search(r"/onboarding/documents/[\w:.=-]+", self.http.get("/onboarding/steps/id_document").text)
        assert link
        kept = self.http.get(link[0])
        assert kept.status_code == 200
        self.secrets["passport as kept"] = kept.content
        assert self.post("/onboarding/submit", {}).status_code == 302
        assert self.post("/profile/export/new", {}).status_code == 302

    def program(self) -> None:
        """Tokens of a program."""
        body = {"email": self.email, "password": self.secrets["password"], "code": self.codes[0]}
        answer = httpx.post(f"{self.platform.base}/api/v1/auth/token", json=body, trust_env=False)
        assert answer.status_code == 200, answer.text
        first = answer.json()
        answer = httpx.post(
            f"{self.platform.base}/api/v1/auth/token/refresh", json={"refresh": first["refresh"]}, trust_env=False
        )
        second = answer.json()
        bearer = {"Authorization": f"Bearer {second['access']}"}
        ticket = httpx.post(f"{self.platform.base}/api/v1/ws-ticket", json={}, headers=bearer, trust_env=False).json()
        for number, pair in (("first", first), ("second", second)):
            for kind in ("refresh", "access"):
                # The signature is the secret part: what comes before it is a name and dates.
                self.secrets[f"{number} {kind} token"] = pair[kind].rpartition(".")[2]
        self.secrets["socket ticket"] = ticket["ticket"].rpartition(":")[2]

    def mistakes(self) -> None:
        """Answers that say no, each given a secret."""
        base, values = self.platform.base, self.secrets
        wrong = {"email": self.email, "password": values["mistyped password"]}
        tries: list[tuple[str, dict[str, Any]]] = [
            ("/api/v1/auth/token", {"json": wrong}),
            ("/api/v1/auth/token", {"json": wrong | {"unknown": values["password"]}}),
            (
                "/api/v1/auth/token",
                {"content": json.dumps(wrong)[:-1], "headers": {"Content-Type": "application/json"}},
            ),
            ("/api/v1/auth/token/refresh", {"json": {"refresh": str(values["first refresh token"]) + "x"}}),
            ("/api/v1/auth/register", {"json": {**wrong, "nonsense": "x"}}),
            ("/api/v1/orders", {"json": {}, "headers": {"Authorization": f"Bearer {values['first access token']}"}}),
        ]
        for path, more in tries:
            answer = httpx.post(base + path, trust_env=False, **more)
            assert answer.status_code >= 400, path
            self.pages.append((f"{path} {answer.status_code}", answer.content))

    def faults(self, database: Any) -> None:
        """Faults of the server (500) while it holds secrets: the table it needs is away for a moment."""
        self.secrets["recovery link"] = (link := self._recovery()).rpartition("/")[2].split(":")[0]
        cases: list[tuple[str, str, Any]] = [
            ("accounts_user", "/signin", lambda: self._fresh("/signin", {"email": self.email, "password": self.secrets["password"]})),
            ("accounts_mailtoken", "/recover", lambda: self._fresh(link, {"password": self.secrets["next password"]})),
            (
                "accounts_user", "/api/v1/auth/token",
                lambda: httpx.post(
                    f"{self.platform.base}/api/v1/auth/token",
                    json={"email": self.email, "password": self.secrets["password"]}, trust_env=False,
                ),
            ),
            (
                "accounts_tokenfamily", "/api/v1/auth/token/refresh",
                lambda: httpx.post(
                    f"{self.platform.base}/api/v1/auth/token/refresh",
                    json={"refresh": self.refresh_token()}, trust_env=False,
                ),
            ),
        ]  # fmt: skip
        for table, what, act in cases:
            database.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
            try:
                answer = act()
            finally:
                database.execute(f"ALTER TABLE {table}_away RENAME TO {table}")
            assert answer.status_code == 500, (what, answer.status_code)
            self.pages.append((f"{what} 500", answer.content))
        done = self._fresh(link, {"password": self.secrets["next password"]})
        assert done.status_code == 302, done.status_code

    def refresh_token(self) -> str:
        """A refresh token that is good, of a new sign-in."""
        body = {"email": self.email, "password": self.secrets["password"], "code": self.codes[1]}
        # Asked for before the table went away.
        return self._spare if hasattr(self, "_spare") else httpx.post(
            f"{self.platform.base}/api/v1/auth/token", json=body, trust_env=False
        ).json()["refresh"]  # fmt: skip

    def spare(self) -> None:
        """Get the refresh token that a fault will meet."""
        self._spare = self.refresh_token()
        self.secrets["spare refresh token"] = self._spare.rpartition(".")[2]

    def _recovery(self) -> str:
        assert self._fresh("/recover", {"email": self.email}).status_code == 302
        return self.mail_link("recover")

    def _fresh(self, path: str, data: dict[str, Any]) -> httpx.Response:
        """A form sent by a browser that is not signed in."""
        with httpx.Client(base_url=self.platform.base, timeout=30, trust_env=False) as browser:
            browser.get("/signin")
            return browser.post(path, data=data, headers={"X-CSRFToken": browser.cookies.get("csrftoken") or ""})


def noise() -> bytes:
    """A picture nobody has seen before."""
    out = io.BytesIO()
    Image.frombytes("RGB", (700, 500), secrets.token_bytes(700 * 500 * 3)).save(out, "PNG")
    return out.getvalue()
