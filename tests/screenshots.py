"""Pictures of every page, for looking at before a page is called done: ``make screenshots`` while the platform runs.

Drives the real Chromium against a running portal (``BASE_URL``, default the local one), signed out and as each demo login, at 1440 and
360 pixels, light and dark. Writes ``var/screenshots/<width>-<theme>/<page>.png`` and prints what the browser complained about.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from brokerage.config import BASE_DIR, get_config

MISSING = "/no-such-page"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
INVESTOR, PASSWORD = "investor@demo.test", "demo-Pass-2026"
#: Page names and addresses by who looks at them; "" is a visitor.
PAGES: dict[str, dict[str, str]] = {
    "": {
        "landing": "/",
        "signin": "/signin",
        "signup": "/signup",
        "recover": "/recover",
        "markets-visitor": "/markets",
        "trade-visitor": "/trade/ETH-USD",
        "about": "/about",
        "status": "/status",
        "proof": "/proof",
        "404": MISSING,
        "candles": "/trade/AAPL/candles?frame=1d",
        **({"styleguide": "/styleguide"} if get_config().debug else {}),
    },
    INVESTOR: {
        "home": "/",
        "markets": "/markets",
        "trade": "/trade/BTC-USD",
        "trade-stock": "/trade/AAPL",
        "orders": "/orders",
        "orders-all": "/orders?view=all",
        "fills": "/orders?view=fills",
        "portfolio": "/portfolio",
        "ledger": "/account/ledger",
        "statements": "/account/statements",
        "reports": "/account/reports",
        "limits": "/account/limits",
        "withdrawals": "/account/withdrawals",
        "security": "/security",
        "history": "/security/history",
        "authenticator": "/security/authenticator",
        "profile": "/profile",
        "personal": "/profile/personal",
        "api-keys": "/profile/api-keys",
        "fix-keys": "/profile/fix-keys",
        "account-new": "/accounts/new",
        "developers": "/developers",
        "onboarding": "/onboarding",
        "onboarding-document": "/onboarding/steps/id_document",
    },
    "dealer@demo.test": {
        "desk-clients": "/desk/clients",
        "desk-approvals": "/desk/approvals",
        "desk-requests": "/desk/requests",
    },
    "compliance@demo.test": {
        "kyc-queue": "/compliance/kyc",
        "audit-search": "/compliance/audit",
        "audit-entry": "/compliance/audit/1",
        "register": "/compliance/register",
    },
    "admin@demo.test": {
        "desk-funding": "/desk/funding",
        "desk-access": "/desk/access",
        "admin-orders": "/admin/trading/order/",
        "admin-engine": "/admin/trading/projectionstate/engine/",
    },
}
SIZES = {"1440": (1440, 900), "360": (360, 740)}


def find_chromium() -> str:
    """Return the path of an installed Chromium; raises SystemExit with what to do when there is none."""
    configured = get_config().browser_path
    for name in (configured, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise SystemExit("No Chromium found: install it (apt-get install chromium) or set CHROMIUM to its path.")


def sign_in(page: Any, base: str, email: str, password: str) -> None:
    """Sign in through the form."""
    page.goto(f"{base}/signin")
    page.fill("#id_email", email)
    page.fill("#id_password", password)
    page.click("button[type=submit]:has-text('Sign in')")
    page.wait_for_url(f"{base}/")


def shoot(browser: Any, base: str, out: Path, *, who: str, width: str, theme: str, names: set[str]) -> list[str]:
    """Take one set of pictures; return what the browser complained about."""
    pages = {name: path for name, path in PAGES[who].items() if not names or name in names}
    if not pages:
        return []
    size = SIZES[width]
    complaints: list[str] = []
    folder = out / f"{width}-{theme}"
    folder.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        device_scale_factor=1,
        has_touch=width == "360",
    )
    page = context.new_page()
    current = {"name": "signing in"}
    page.on(
        "console",
        lambda m: complaints.append(f"{current['name']}: {m.text}") if m.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: complaints.append(f"{current['name']}: {error}"))
    if who:
        sign_in(page, base, who, PASSWORD)
    for name, path in pages.items():
        current["name"] = name
        answer = page.goto(f"{base}{path}", wait_until="load")
        if path == MISSING:
            # The browser says of every 404 that it could not load it.
            complaints = [line for line in complaints if not line.startswith(f"{name}: Failed to load")]
        elif answer.status != 200:
            complaints.append(f"{name}: answered {answer.status}")
        page.wait_for_timeout(2200 if "trade" in name else 900)
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            complaints.append(f"{name}: {over} px too wide")
        page.screenshot(path=str(folder / f"{name}.png"), full_page=True)
    context.close()
    return complaints


def main() -> int:
    """Take all pictures, or those named."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--base", default=get_config().base_url)
    parser.add_argument("--out", type=Path, default=BASE_DIR / "var" / "screenshots")
    parser.add_argument("--width", choices=[*SIZES], action="append")
    parser.add_argument("--theme", choices=["light", "dark"], action="append")
    args = parser.parse_args()
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        for width in args.width or SIZES:
            for theme in args.theme or ("light", "dark"):
                for who in PAGES:
                    found = shoot(
                        browser, args.base, args.out, who=who, width=width, theme=theme, names=set(args.pages)
                    )
                    complaints += [f"{width} {theme} {line}" for line in found]
        browser.close()
    print(f"Pictures are in {args.out}")
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
