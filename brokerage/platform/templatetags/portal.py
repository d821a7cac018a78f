"""How numbers, times, words and icons look in templates: the twin of ``static/js/format.js`` (a test compares the two).

Decimals arrive as text and leave as text; nothing here goes through a float. Also the import map of the page scripts and
the partials for empty and error states. Leaves what is shown to the views.
"""

from __future__ import annotations

import json
import zoneinfo
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from django import template
from django.template.context import RequestContext
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from brokerage.kernel.clock import utc_now
from brokerage.kernel.units import format_plain

register = template.Library()

DASH = "–"
MINUS = "−"
SCRIPTS = (
    "api", "apisign", "apisocket", "apispec", "blotter", "book", "chart", "decimal", "developers", "dom", "format", "home", "markets",
    "orders", "passkey", "quotes", "rows", "shell", "socket", "table", "ticket", "trade",
)  # fmt: skip

WORDS = {
    "new": "Open",
    "partially_filled": "Part filled",
    "filled": "Filled",
    "canceled": "Cancelled",
    "rejected": "Refused",
    "expired": "Expired",
    "buy": "Buy",
    "sell": "Sell",
    "market": "Market",
    "limit": "Limit",
    "gtc": "GTC",
    "day": "Day",
    "ioc": "IOC",
    "fok": "FOK",
    "gtd": "GTD",
    "maker": "Maker",
    "taker": "Taker",
    "active": "Open",
    "reduce_only": "Reduce only",
    "halted": "Halted",
    "closed": "Closed",
    "fx": "FX",
    "crypto": "Crypto",
    "stock": "Stocks",
    "index": "Index CFDs",
    "commodity": "Commodity CFDs",
    "spot": "Spot",
    "margin": "Margin",
    "pnl": "Profit and loss",
    "trade": "Trade",
    "fee": "Fee",
    "deposit": "Deposit",
    "withdrawal": "Withdrawal",
    "transfer": "Transfer",
    "adjustment": "Adjustment",
    "accepted": "Accepted",
    "rested": "Resting in the book",
    "replaced": "Changed",
    "cancel_rejected": "Cancel refused",
    "replace_rejected": "Change refused",
    "live": "Bar of trades here",
    "recorded": "Recorded close",
    "simulated": "Simulated close",
    "cancel_newest": "Cancel newest",
    "cancel_oldest": "Cancel oldest",
    "cancel_both": "Cancel both",
    "decrement": "Decrement",
}
STATUS_KIND = {"new": "ok", "partially_filled": "ok", "rejected": "bad", "expired": "warn"}


def _decimal(value: Any) -> Decimal | None:
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _text(number: Decimal, plus: bool = False) -> str:
    shown = f"{abs(number):,f}"
    sign = MINUS if number < 0 else "+" if plus and number > 0 else ""
    return f"{sign}{shown}"


def _fixed(value: Any, decimals: Any, rounding: str) -> Decimal | None:
    number = _decimal(value)
    if number is None or decimals in (None, ""):
        return number
    return number.quantize(Decimal(1).scaleb(-int(decimals)), rounding=rounding)


@register.filter
def num(value: Any, decimals: Any = None) -> str:
    """Return ``64012.5`` as ``64,012.50``; a dash when it is not known."""
    number = _fixed(value, decimals, ROUND_HALF_EVEN)
    return DASH if number is None else _text(number)


@register.filter
def money(value: Any, decimals: Any = 2) -> str:
    """Return an amount cut (never rounded up) to the decimals shown for its asset."""
    number = _fixed(value, decimals, ROUND_FLOOR)
    return DASH if number is None else _text(number)


@register.filter
def atleast(value: Any, decimals: Any = 2) -> str:
    """Return a number with at least so many decimals and all that it has beyond them."""
    number = _decimal(value)
    if number is None:
        return DASH
    exponent = number.as_tuple().exponent
    return num(value, decimals) if isinstance(exponent, int) and -exponent < int(decimals) else _text(number)


@register.filter
def exact(value: Any, decimals: Any = 2) -> str:
    """Return an amount with every decimal that says something, and at least so many."""
    number = _decimal(value)
    return DASH if number is None else atleast(format_plain(number), decimals)


@register.filter
def signed(value: Any, decimals: Any = None) -> str:
    """Return a result, its sign always shown."""
    number = _fixed(value, decimals, ROUND_HALF_EVEN)
    return DASH if number is None else _text(number, plus=True)


@register.filter
def pct(value: Any) -> str:
    """Return a percentage with two decimals and its sign."""
    number = _fixed(value, 2, ROUND_HALF_EVEN)
    return DASH if number is None else f"{_text(number, plus=True)} %"


@register.filter
def dirclass(value: Any) -> str:
    """Return the class of a direction: up, down or none."""
    number = _decimal(value)
    return "" if not number else "up" if number > 0 else "down"


@register.filter
def word(name: Any) -> str:
    """Return a code of the API as a word for people."""
    return WORDS.get(str(name), str(name).replace("_", " ")) if name else DASH


@register.filter
def statuskind(status: Any) -> str:
    """Return the badge kind of an order status."""
    return STATUS_KIND.get(str(status), "")


@register.filter
def fillpct(order: Any) -> str:
    """Return how much of an order is filled, in per cent, for its bar."""
    try:
        qty, filled = _decimal(order["qty"]), _decimal(order["filled_qty"])
    except (KeyError, TypeError):
        return "0"
    return str(int(filled * 100 / qty)) if qty and filled else "0"


@register.filter
def order_type(order: Any) -> str:
    """Return type, time in force and flags of an order in one line."""
    try:
        words = [word(order["type"]), word(order["time_in_force"])]
    except (KeyError, TypeError):
        return ""
    words += [text for name, text in (("post_only", "post-only"), ("reduce_only", "reduce-only")) if order.get(name)]
    return " · ".join(words)


@lru_cache(maxsize=512)
def _zone(name: str) -> zoneinfo.ZoneInfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


@register.simple_tag(takes_context=True)
def when(context: RequestContext, moment: Any, form: str = "moment") -> SafeString:
    """Return a time in the reader's zone, UTC in the tooltip; the scripts do the same when the zone was not known yet."""
    if not moment:
        # None is a time that is not known. A row's template has no object at all, which Django gives as "": its script fills the element.
        return mark_safe(DASH) if moment is None else mark_safe('<time data-form="moment"></time>')  # noqa: S308 - fixed text
    if isinstance(moment, datetime):
        value, iso = moment.astimezone(UTC), moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    else:
        iso = str(moment)
        value = datetime.fromisoformat(iso)
    zone = _zone(str(context.get("zone") or "UTC")) or UTC
    local = value.astimezone(zone)
    clock = local.strftime("%H:%M:%S")
    today = local.date() == utc_now().astimezone(zone).date()
    shown = clock if form == "clock" or today else f"{local.strftime('%d %b %Y')}, {clock}"
    utc = f"{value.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S.%f')} UTC"
    return format_html('<time datetime="{}" data-form="{}" title="{}">{}</time>', iso, form, utc, shown)


ICONS = {
    "mark": '<path d="M3 17l5-6 4 4 8-10" stroke-width="2.4"/><path d="M15 5h5v5" stroke-width="2.4"/>',
    "warn": '<path d="M12 3 2.5 20h19L12 3z"/><path d="M12 10v5M12 17.6v.4"/>',
    "markets": '<path d="M4 19V10M10 19V5M16 19v-7M21 19H3"/>',
    "trade": '<path d="M7 4v16M7 8h-2v7h4V8H7zM17 3v18M17 7h-2v6h4V7h-2z"/>',
    "portfolio": '<path d="M12 3v9h9a9 9 0 1 1-9-9z"/><path d="M16 3.5A9 9 0 0 1 20.5 8"/>',
    "orders": '<path d="M5 6h14M5 12h14M5 18h9"/>',
    "home": '<path d="M4 11l8-7 8 7v9h-5v-6H9v6H4z"/>',
    "eye": '<path d="M2 12s4-6 10-6 10 6 10 6-4 6-10 6-10-6-10-6z"/><circle cx="12" cy="12" r="2.6"/>',
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return one of the house's line icons."""
    return format_html(
        '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" '
        'stroke-linejoin="round" aria-hidden="true">{}</svg>',
        mark_safe(ICONS[name]),  # noqa: S308 - our own paths
    )


@register.simple_tag(takes_context=True)
def import_map(context: RequestContext) -> SafeString:
    """Return the import map: names of the modules to their served, in production hashed, files."""
    imports = {f"portal/{name}": static(f"js/{name}.js") for name in SCRIPTS}
    imports["lightweight-charts"] = static("vendor/lightweight-charts/lightweight-charts.standalone.production.mjs")
    document = json.dumps({"imports": imports}, separators=(",", ":")).replace("<", "\\u003c")
    return format_html(
        '<script type="importmap" nonce="{}">{}</script>',
        context.get("csp_nonce", ""),
        mark_safe(document),  # noqa: S308 - paths of our files
    )


@register.inclusion_tag("partials/empty.html")
def empty(
    title: str, text: str = "", href: str = "", label: str = "", name: str = "", hidden: bool = False
) -> dict[str, Any]:
    """Say what would be here and offer the next step."""
    return {"title": title, "text": text, "href": href, "label": label, "name": name, "hidden": hidden}


@register.inclusion_tag("partials/field.html")
def field(bound: Any) -> dict[str, Any]:
    """Show a form field with label, hint and error."""
    return {"field": bound}


@register.inclusion_tag("partials/spark.html")
def spark(points: Any) -> dict[str, Any]:
    """Draw a small line of numbers that were scaled by the view."""
    return {"points": points or "", "kind": getattr(points, "kind", "")}
