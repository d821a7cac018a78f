"""Pictures of every page, for looking at before a page is called done: ``make screenshots`` while the platform runs.

Drives the real Chromium against a running portal (``BASE_URL``, default the local one), signed out and as the demo investor, at 1440 and
360 pixels, light and dark. Writes ``var/screenshots/<width>-<theme>/<page>.png`` and prints what the browser complained about.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from brokerage.config import BASE_DIR, get_config

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PUBLIC = {
    "landing": "/",
    "signin": "/signin",
    "signup": "/signup",
    "markets-visitor": "/markets",
    "trade-visitor": "/trade/ETH-USD",
    "about": "/about",
    "status": "/status",
    "404": "/no-such-page",
    "candles": "/trade/AAPL/candles?frame=1d",
    "styleguide": "/styleguide",
}
PRIVATE = {
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
    "profile": "/profile",
    "onboarding": "/onboarding",
    "onboarding-document": "/onboarding/steps/id_document",
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


def shoot(browser: Any, base: str, out: Path, *, width: str, theme: str, names: set[str] | None) -> list[str]:
    """Take one set of pictures; return what the browser complained about."""
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
    current = {"name": ""}
    page.on(
        "console",
        lambda m: complaints.append(f"{current['name']}: {m.text}") if m.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: complaints.append(f"{current['name']}: {error}"))
    signed_in = False
    for name, path in {**PUBLIC, **PRIVATE}.items():
        if names and name not in names:
            continue
        if name in PRIVATE and not signed_in:
            current["name"] = "signing in"
            sign_in(page, base, "investor@demo.test", "demo-Pass-2026")
            signed_in = True
        current["name"] = name
        page.goto(f"{base}{path}", wait_until="load")
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
                found = shoot(browser, args.base, args.out, width=width, theme=theme, names=set(args.pages) or None)
                complaints += [f"{width} {theme} {line}" for line in found]
        browser.close()
    print(f"Pictures are in {args.out}")
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
