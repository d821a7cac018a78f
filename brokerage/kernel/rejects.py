"""The one table of refusals: number, slug, text, the rule broken, the next step, HTTP status and FIX numbers.

Owns: every reject number of the house. The core's own are in ``native/include/core.h`` (a test compares them); the others belong to the edges.
``docs/rejects.md`` is generated: ``python -m brokerage.kernel.rejects > docs/rejects.md`` (a test compares it). Leaves to others: turning core
units into decimals for ``needed`` and ``available`` (``unit`` says which unit they are in) and the problem+json envelope (``brokerage/platform/problems.py``).

Numbers are never reused. Bands: 1 form, 2 authority, 3 instrument, 4 risk, 5 book, 6 venue, 7 compliance, 8 money, 9 system.
"""

# ruff: noqa: E501 - one row of the table is one line

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from brokerage.kernel.reject_codes import RejectCode as RejectCode

_EDGE = (range(1010, 2000), range(2010, 3000), range(3011, 4000), range(7000, 8000), range(9010, 10_000))
#: Numbers the core emits; everything else in the table is the edge's. Compared with core.h by a test.
CORE_CODES = frozenset(
    code for code in RejectCode if code != RejectCode.INTERNAL_ERROR and not any(int(code) in band for band in _EDGE)
)


class Unit(StrEnum):
    """What ``needed`` and ``available`` are counted in when they come from the core."""

    NONE = "none"
    TEXT = "text"  # already text, from the edge
    PRICE = "price"  # ticks of the instrument
    QTY = "qty"  # lots of the instrument
    QUOTE = "quote"  # minor units of the instrument's quote asset
    FUNDS = "funds"  # minor units: quote asset; base asset for a spot sell; the command's asset for money
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Reject:
    """One row. ``text`` stands alone; ``numbers`` is added when the numbers it names are known."""

    code: RejectCode
    title: str
    text: str
    numbers: str
    unit: Unit
    rule: str
    next_step: str
    http: int
    ord_rej_reason: int  # FIX 103
    cxl_rej_reason: int  # FIX 102
    business_reject_reason: int  # FIX 380

    @property
    def slug(self) -> str:
        """Stable lower-case name."""
        return self.code.slug

    def detail(self, needed: str | None = None, available: str | None = None) -> str:
        """The sentence shown to the sender, with the numbers when all that it names are given."""
        if not self.numbers:
            return self.text
        if ("{needed}" in self.numbers and needed is None) or ("{available}" in self.numbers and available is None):
            return self.text
        return f"{self.text} {self.numbers.format(needed=needed, available=available)}"


def reject_row(number: int) -> Reject:
    """The row of a number; an unknown number is told as 9000 rather than raising inside an error path."""
    try:
        return TABLE[RejectCode(number)]
    except ValueError:
        return TABLE[RejectCode.INTERNAL_ERROR]


def retry_after_s(number: int) -> int | None:
    """Seconds for a Retry-After header, None when trying again changes nothing."""
    return {429: 1, 503: 2, 504: 2}.get(reject_row(number).http)


_C = RejectCode
_U = Unit
_ROWS: tuple[tuple[RejectCode, str, str, str, Unit, str, str, int, int, int, int], ...] = (
    # code, title, text, numbers, unit, rule, next step, HTTP, FIX 103, FIX 102, FIX 380
    (_C.MALFORMED, "Malformed request", "A field has a form that cannot be read.", "", _U.TEXT, "fields have their documented form", "Correct the field and send it again.", 400, 99, 99, 0),
    (_C.UNSUPPORTED, "Unsupported combination", "This combination of type, time in force and flags is not supported.", "", _U.NONE, "documented combinations of order fields", "Choose a supported combination; a market order is IOC or FOK and never post-only.", 400, 11, 99, 3),
    (_C.DUPLICATE_CL_ORD_ID, "Client order id already used", "This client order id was used for a different request.", "", _U.NONE, "one id, one request, per account", "Use a new id for a new request.", 409, 6, 6, 0),
    (_C.BAD_VERSION, "Unsupported protocol version", "The command's layout version is not the engine's.", "", _U.NONE, "one layout version per engine", "Update the sender.", 400, 99, 99, 3),
    (_C.BAD_QTY, "Quantity not allowed", "The quantity must be greater than zero.", "", _U.QTY, "quantity > 0", "Enter a quantity above zero.", 400, 13, 99, 0),
    (_C.BAD_PRICE, "Price not allowed", "A limit order needs a price above zero; a market order has none.", "", _U.PRICE, "limit price > 0, market without price", "Enter a price above zero, or leave it out for a market order.", 400, 99, 99, 0),
    (_C.BAD_EXPIRE, "Expiry not allowed", "Only a good-till-date order has an expiry, and it must be in the future.", "", _U.NONE, "GTD with a future expiry", "Set an expiry in the future, or choose another time in force.", 400, 11, 99, 0),
    (_C.OVERFLOW, "Number too large", "The value of the order or the resulting balance is larger than the engine can carry.", "", _U.NONE, "every amount ≤ 2^62 minor units", "Use a smaller quantity or price.", 422, 3, 99, 0),
    (_C.UNKNOWN_FIELD, "Unknown field", "The request has a field that is not known.", "Unknown: {available}.", _U.TEXT, "only documented fields", "Remove the field; see the API documentation.", 400, 99, 99, 0),
    (_C.TOO_MANY_DECIMALS, "Too many decimals", "The number has more decimals than are allowed here.", "At most {needed} decimals, got {available}.", _U.TEXT, "decimals ≤ those of the increment", "Shorten the number to the allowed decimals.", 400, 18, 18, 0),
    (_C.NOT_A_NUMBER, "Not a number", "The value is not a plain decimal number in a string.", "", _U.TEXT, "numbers are decimal strings", "Send digits with an optional decimal point, in a string.", 400, 99, 99, 0),
    (_C.MALFORMED_JSON, "Malformed JSON", "The body is not valid JSON.", "", _U.TEXT, "a JSON object in UTF-8", "Correct the body and send it again.", 400, 99, 99, 0),
    (_C.VALUE_OUT_OF_RANGE, "Value out of range", "The value is outside the allowed range.", "The bound is {needed}.", _U.TEXT, "documented range of the field", "Use a value within the range.", 400, 99, 99, 0),
    (_C.IDEMPOTENCY_KEY_REUSED, "Idempotency key reused", "This Idempotency-Key was used with a different body.", "", _U.TEXT, "one key, one body", "Use a new key for a new request.", 409, 6, 6, 0),
    (_C.MISSING_FIELD, "Field missing", "A required field is missing.", "Missing: {needed}.", _U.TEXT, "required fields are present", "Add the field.", 400, 99, 99, 5),
    (_C.BAD_CURSOR, "Bad cursor", "The page cursor cannot be read or belongs to another list.", "", _U.NONE, "cursors come from the previous page", "Begin again without a cursor.", 400, 99, 99, 0),
    (_C.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", "The body's content type is not supported.", "Use {needed}.", _U.TEXT, "application/json", "Send the body as application/json.", 415, 99, 99, 0),
    (_C.METHOD_NOT_ALLOWED, "Method not allowed", "This address does not take that HTTP method.", "", _U.TEXT, "documented methods", "See the API documentation.", 405, 99, 99, 3),
    (_C.PAYLOAD_TOO_LARGE, "Payload too large", "The request body is too large.", "At most {needed} bytes.", _U.TEXT, "bounded request size", "Send less in one request.", 413, 99, 99, 0),
    (_C.NOT_ACCEPTABLE, "Not acceptable", "The answer is not available in the requested form.", "", _U.TEXT, "documented media types", "Ask for application/json.", 406, 99, 99, 0),
    (_C.WEAK_PASSWORD, "Password too weak", "The password does not meet the rules.", "", _U.TEXT, "length and common-password rules", "Choose a longer password that is not in common use.", 400, 99, 99, 0),
    (_C.UNKNOWN_TOPIC, "Unknown topic", "There is no such stream topic.", "", _U.TEXT, "documented topics", "Check the topic's name and symbol.", 404, 99, 99, 1),
    (_C.UNKNOWN_COUNTRY, "Unknown country", "There is no country with this code.", "Got: {available}.", _U.TEXT, "ISO 3166-1 alpha-2 codes of countries", "Send the two letters of a country, such as GB.", 400, 99, 99, 0),
    (_C.UNKNOWN_ACCOUNT, "Unknown account", "The account is not known to the engine.", "", _U.NONE, "account registered with the engine", "Wait until the account is active, or contact support.", 403, 15, 99, 1),
    (_C.ACCOUNT_HALTED, "Account halted", "Trading is halted for this account.", "", _U.NONE, "account state", "Open orders can still be cancelled; contact support.", 403, 99, 2, 6),
    (_C.ACCOUNT_REDUCE_ONLY, "Account may only reduce", "This account may only reduce its positions.", "", _U.NONE, "account state: reduce only", "Send an order that reduces a position.", 403, 99, 2, 6),
    (_C.NOT_AUTHENTICATED, "Not signed in", "The request carries no valid identity.", "", _U.NONE, "signed-in requests", "Sign in and send it again.", 401, 99, 99, 6),
    (_C.TOKEN_EXPIRED, "Token expired", "The access token is no longer valid.", "", _U.NONE, "token lifetime", "Refresh the token or sign in again.", 401, 99, 99, 6),
    (_C.PERMISSION_DENIED, "Not permitted", "You are not permitted to do this.", "", _U.NONE, "role and scope", "Ask the owner of the account for access.", 403, 99, 2, 6),
    (_C.THROTTLED, "Too many requests", "Requests come faster than allowed.", "Try again in {needed} s.", _U.TEXT, "request rate", "Wait and send it again.", 429, 99, 99, 8),
    (_C.NOT_FOUND, "Not found", "There is nothing here under that name.", "", _U.NONE, "own objects only", "Check the address or id.", 404, 5, 1, 1),
    (_C.ACCOUNT_NOT_ACTIVE, "Account not active", "The account is not active.", "", _U.TEXT, "account status: active", "Finish opening the account, or contact support.", 403, 15, 99, 6),
    (_C.INVALID_CREDENTIALS, "Sign-in failed", "The e-mail address or the password is wrong.", "", _U.NONE, "valid credentials", "Check both and try again.", 401, 99, 99, 6),
    (_C.CSRF_FAILED, "Form expired", "The form's protection token is missing or old.", "", _U.NONE, "CSRF token", "Reload the page and send the form again.", 403, 99, 99, 6),
    (_C.ORIGIN_REFUSED, "Origin refused", "Connections from this web origin are not allowed.", "", _U.NONE, "allow-listed origins", "Open the portal at its own address.", 403, 99, 99, 6),
    (_C.SUBSCRIPTION_LIMIT, "Too many subscriptions", "This connection has as many subscriptions as it may have.", "At most {needed}.", _U.COUNT, "subscriptions per connection", "Unsubscribe from something first.", 429, 99, 99, 8),
    (_C.TLS_REQUIRED, "HTTPS only", "Programs are served over HTTPS only.", "", _U.NONE, "HTTPS for programs", "Set the address to https, and replace any token or key that was sent: it went over the wire in the clear.", 403, 99, 99, 6),
    (_C.SIGN_IN_LOCKED, "Too many wrong tries", "Sign-in with a password is blocked for a while after too many wrong tries from this place.", "Try again in {needed} seconds.", _U.COUNT, "wrong tries per user and place", "Wait, use a passkey, or set a new password through the recovery link.", 429, 99, 99, 6),
    (_C.USER_FROZEN, "Account frozen", "This sign-in is frozen: nobody can sign in with it.", "", _U.NONE, "freeze by the owner or by staff", "Set a new password through the recovery link and confirm with your second factor, or contact support.", 403, 99, 99, 6),
    (_C.LINK_NOT_VALID, "Link not valid", "The link is wrong, was used before or is too old.", "", _U.NONE, "links work once and for a limited time", "Ask for a new link.", 404, 99, 99, 6),
    (_C.WRONG_PASSWORD, "Wrong password", "The current password is wrong.", "", _U.NONE, "current password", "Check it and try again.", 403, 99, 99, 6),
    (_C.STEP_UP_NEEDED, "Confirm that it is you", "This needs a fresh confirmation that it is you.", "Confirmed within the last {needed} seconds.", _U.COUNT, "fresh confirmation for risky acts", "Confirm with your second factor or password and send it again.", 403, 99, 2, 6),
    (_C.SECOND_FACTOR_NEEDED, "Second factor needed", "This needs a second factor.", "", _U.NONE, "second factor", "Send the current code of your authenticator app, or set one up on the security page.", 401, 99, 99, 6),
    (_C.WRONG_CODE, "Wrong code", "The code is wrong, too old, or was used before.", "", _U.NONE, "codes work once", "Wait for the next code and try again.", 401, 99, 99, 6),
    (_C.SETTINGS_LOCKED, "Settings locked", "The security settings of this user are locked.", "Locked until {needed}.", _U.TEXT, "settings lock", "Ask to unlock on the security page; it takes effect after a day.", 403, 99, 99, 6),
    (_C.FACTOR_NOT_USABLE, "Cannot be used", "The passkey or authenticator cannot be used.", "", _U.NONE, "registered and verified factors", "Try again, or use another way to confirm.", 403, 99, 99, 6),
    (_C.LAST_FACTOR, "Last way to sign in", "This is the last way to sign in.", "", _U.NONE, "one way to sign in remains", "Add another one first.", 403, 99, 99, 6),
    (_C.CHANGE_PENDING, "A change is waiting", "Another change of your personal data is waiting for approval.", "", _U.NONE, "one change request at a time", "Wait until it is decided.", 403, 99, 99, 6),
    (_C.CHANGE_DECIDED, "Already decided", "This change request has been decided.", "", _U.NONE, "a request is decided once", "Reload the list.", 403, 99, 99, 6),
    (_C.STILL_OPEN, "Something is still open", "The account cannot be closed while something of it is open.", "Still open: {available}.", _U.TEXT, "closing needs an empty account", "Close positions, cancel orders and withdraw the money first.", 403, 99, 99, 6),
    (_C.INVITATION_REFUSED, "Not possible to invite", "This person cannot be invited to this account in this way.", "", _U.NONE, "owners invite traders and viewers to accounts that allow members", "Check the kind of the account and who is a member already.", 403, 99, 99, 6),
    (_C.LAST_OWNER, "Last owner", "An account keeps at least one owner.", "", _U.NONE, "every account has an owner", "Name another owner first.", 403, 99, 99, 6),
    (_C.SOCIAL_REFUSED, "Sign-in elsewhere failed", "The other provider did not confirm who you are in a way that can be used here.", "", _U.NONE, "verified identity with a verified address, linked to one user", "Try again, or sign in with your password.", 403, 99, 99, 6),
    (_C.REFRESH_REUSED, "Refresh token reused", "This refresh token was used before, so its whole sign-in was ended.", "", _U.NONE, "a refresh token is used once", "Sign in again; if it was not you, change the password.", 401, 99, 99, 6),
    (_C.API_KEY_INVALID, "API key or signature wrong", "The API key is not known or the signature does not match the request.", "", _U.NONE, "signed requests of a living key", "Compare the canonical string with docs/api-security.md; see that the key was not revoked.", 401, 99, 99, 6),
    (_C.API_KEY_EXPIRED, "API key expired", "The API key has expired.", "It expired at {needed}.", _U.TEXT, "expiry of the key", "Create a new key.", 401, 99, 99, 6),
    (_C.TIMESTAMP_OUTSIDE_WINDOW, "Timestamp outside the window", "The request's timestamp is too far from the server's clock.", "At most {needed} s apart, the difference is {available} s.", _U.TEXT, "timestamp window", "Set the clock by /api/v1/time and sign again.", 401, 99, 99, 6),
    (_C.NONCE_USED, "Nonce used before", "A request with this nonce was accepted already.", "", _U.NONE, "each nonce once", "Sign again with a new nonce.", 401, 99, 99, 6),
    (_C.KEY_ADDRESS_NOT_ALLOWED, "Address not allowed", "The API key may not be used from this address.", "The address is {available}.", _U.TEXT, "the key's list of addresses", "Call from a listed address, or create a key that lists this one.", 403, 99, 99, 6),
    (_C.SCOPE_MISSING, "Scope missing", "The API key does not have the scope for this.", "Needed: {needed}.", _U.TEXT, "scopes of the key", "Create a key with that scope.", 403, 99, 2, 6),
    (_C.API_KEY_LIMIT, "Too many API keys", "There are as many API keys as one user may have.", "At most {needed}.", _U.COUNT, "living keys per user", "Revoke one that is not used.", 429, 99, 99, 8),
    (_C.VIEW_AS_READ_ONLY, "Looking only", "You are looking at the portal as a client; nothing can be changed or sent.", "", _U.NONE, "views as a client are read only", "End the view to go on as yourself.", 403, 99, 99, 6),
    (_C.STAFF_FACTOR_NEEDED, "Second factor needed", "Staff pages need a second factor in this session.", "", _U.NONE, "second factor of staff", "Enter a code of your authenticator, or set one up.", 403, 99, 99, 6),
    (_C.ADDRESS_NOT_ALLOWED, "Address not allowed", "Staff pages are not open from this network address.", "", _U.NONE, "list of staff addresses", "Use the office network or its VPN.", 403, 99, 99, 6),
    (_C.UNKNOWN_INSTRUMENT, "Unknown instrument", "There is no such instrument.", "", _U.NONE, "listed instruments", "Check the symbol.", 422, 1, 99, 2),
    (_C.INSTRUMENT_CLOSED, "Market closed", "The instrument's market is closed.", "", _U.NONE, "trading hours", "Try again when the market is open.", 422, 2, 2, 0),
    (_C.INSTRUMENT_HALTED, "Trading halted", "Trading in this instrument is halted.", "", _U.NONE, "instrument state", "Open orders can still be cancelled; wait for the halt to end.", 422, 2, 2, 0),
    (_C.GLOBAL_HALT, "All trading halted", "Trading is halted for everyone.", "", _U.NONE, "house state", "Open orders can still be cancelled; wait for the halt to end.", 422, 2, 2, 4),
    (_C.QTY_BELOW_MIN, "Quantity too small", "The quantity is below the instrument's minimum.", "The minimum is {needed}.", _U.QTY, "minimum order quantity", "Enter at least the minimum.", 422, 13, 99, 0),
    (_C.QTY_ABOVE_MAX, "Quantity too large", "The quantity is above the instrument's maximum.", "The maximum is {needed}.", _U.QTY, "maximum order quantity", "Enter at most the maximum, or several orders.", 422, 3, 99, 0),
    (_C.UNKNOWN_ASSET, "Unknown asset", "There is no such asset.", "", _U.NONE, "registered assets", "Check the asset's code.", 422, 99, 99, 1),
    (_C.BAD_LISTING, "Listing not valid", "The listing's numbers do not fit together.", "", _U.NONE, "increments give whole minor units; rates within range", "Correct the increments or rates.", 422, 99, 99, 0),
    (_C.REDUCE_ONLY_STATE, "Only reducing orders", "This market takes only orders that reduce a position.", "", _U.NONE, "instrument or house state: reduce only", "Send an order that reduces a position.", 422, 99, 2, 0),
    (_C.LISTING_FROZEN, "Listing frozen", "This part of a listing cannot change any more.", "", _U.NONE, "increments, assets and kind are fixed at listing", "List a new instrument instead.", 422, 99, 99, 0),
    (_C.PRICE_OFF_INCREMENT, "Price off increment", "The price is not a whole number of increments.", "The increment is {needed}.", _U.TEXT, "price increment", "Round the price to the increment.", 422, 18, 18, 0),
    (_C.QTY_OFF_LOT, "Quantity off lot", "The quantity is not a whole number of lots.", "The lot is {needed}.", _U.TEXT, "quantity increment", "Round the quantity to the lot.", 422, 13, 99, 0),
    (_C.INSUFFICIENT_FUNDS, "Insufficient funds", "There is not enough available for this.", "Needed {needed}, available {available}.", _U.FUNDS, "available ≥ additional hold", "Deposit, cancel other orders, or use a smaller quantity.", 422, 25, 99, 0),
    (_C.PRICE_COLLAR, "Price outside the collar", "The price is too far from the last price.", "The limit is {needed}.", _U.PRICE, "price collar around the reference price", "Use a price within the collar.", 422, 16, 8, 0),
    (_C.MAX_NOTIONAL, "Order value too large", "The order's value is above the instrument's limit.", "At most {needed}, the order is {available}.", _U.QUOTE, "maximum order value of the instrument", "Use a smaller quantity, or several orders.", 422, 20, 99, 0),
    (_C.MAX_OPEN_ORDERS, "Too many open orders", "The account has as many open orders as it may have.", "The limit is {needed}.", _U.COUNT, "open orders per account", "Cancel an open order first.", 422, 3, 99, 0),
    (_C.NO_REFERENCE_PRICE, "No reference price", "The instrument has no price yet, so a market order cannot be checked.", "", _U.NONE, "market orders need a reference price", "Use a limit order.", 422, 19, 99, 0),
    (_C.REDUCE_ONLY, "Would not reduce", "A reduce-only order must reduce the position and not exceed it.", "At most {needed}.", _U.QTY, "reduce-only", "Use a quantity within the position, or remove reduce-only.", 422, 99, 99, 0),
    (_C.ACCOUNT_MAX_NOTIONAL, "Order value above the account's limit", "The order's value is above this account's limit.", "At most {needed}, the order is {available}.", _U.QUOTE, "maximum order value of the account", "Use a smaller quantity, or ask for a higher limit.", 422, 20, 99, 0),
    (_C.UNKNOWN_ORDER, "Unknown order", "There is no such open order in this account.", "", _U.NONE, "own live orders", "Check the order's id.", 404, 5, 1, 1),
    (_C.TOO_LATE, "Too late", "The order is already filled, cancelled or expired.", "", _U.NONE, "only live orders change", "Nothing to do: see the order's history.", 409, 4, 0, 0),
    (_C.WOULD_CROSS, "Would trade at once", "A post-only order may not trade on entry.", "The best opposite price is {needed}.", _U.PRICE, "post-only", "Use a price that does not cross, or remove post-only.", 422, 99, 99, 0),
    (_C.UNFILLABLE, "Cannot fill at once", "A fill-or-kill order could not be filled completely.", "Wanted {needed}, there is {available}.", _U.QTY, "fill or kill", "Use a smaller quantity, another price, or IOC.", 422, 99, 99, 0),
    (_C.STALE_REPLACE, "Order changed meanwhile", "The order is no longer the version you saw.", "It is now version {needed}.", _U.COUNT, "expected version", "Reload the order and decide again.", 409, 99, 99, 0),
    (_C.QTY_BELOW_FILLED, "Quantity below filled", "The new total quantity must be above what is already filled.", "Filled: {needed}.", _U.QTY, "new total > filled", "Enter a larger total, or cancel the order.", 422, 13, 99, 0),
    (_C.NO_LIQUIDITY, "Nothing to trade with", "The book has nothing for this market order within the price collar.", "", _U.NONE, "market orders trade at once or not at all", "Use a limit order, or try again later.", 422, 99, 99, 0),
    (_C.FILL_LIMIT, "Too many matches", "The order would need more matches than one order may make.", "", _U.COUNT, "matches per order", "Use a smaller quantity.", 422, 3, 99, 0),
    (_C.KYC_REQUIRED, "Identity not verified yet", "New orders are possible once we know who you are.", "", _U.NONE, "verified identity before the first order", "Finish the steps at /onboarding; it takes a few minutes.", 403, 99, 99, 6),
    (_C.KYC_RESTRICTED, "Trading restricted", "New orders are stopped for this client by our compliance team.", "", _U.NONE, "permission given by compliance", "Open /onboarding to see what is asked for; open orders can still be cancelled.", 403, 99, 2, 6),
    (_C.KYC_INCOMPLETE, "Steps missing", "Some steps are not done yet.", "Missing: {needed}.", _U.TEXT, "all required steps before submitting", "Finish the steps named and submit again.", 422, 99, 99, 5),
    (_C.KYC_STATE, "Not possible now", "The case is not in a state in which this can be done.", "Needed {needed}, it is {available}.", _U.TEXT, "documented steps of a case", "Reload the page and see what is open.", 409, 99, 99, 0),
    (_C.DOCUMENT_REFUSED, "File not accepted", "The file cannot be accepted.", "", _U.TEXT, "a readable photo or PDF, safe to keep", "Take a new photo (JPEG, PNG or WebP) or a plain PDF and upload it again.", 422, 99, 99, 0),
    (_C.DOCUMENT_TOO_LARGE, "File too large", "The file or picture is larger than allowed.", "At most {needed}.", _U.TEXT, "bounded files", "Take the photo at a lower resolution, or send fewer pages.", 413, 99, 99, 0),
    (_C.DETAILS_REFUSED, "Detail does not check", "A number or date does not pass its own check.", "", _U.TEXT, "check digits, expiry, age", "Compare it with the document and correct it.", 422, 99, 99, 0),
    (_C.NOT_SERVED, "Country not served", "We cannot open accounts for residents of this country.", "", _U.NONE, "countries we may serve", "Nothing can be done here; contact support if the country is wrong.", 451, 99, 99, 0),
    (_C.SECOND_REVIEWER, "Second person needed", "This decision needs another person than the one who proposed it.", "", _U.NONE, "two people for high risk and for overrides", "Ask a colleague to review the case.", 409, 99, 99, 6),
    (_C.LINK_EXPIRED, "Link expired", "This link is no longer valid, or was made for someone else.", "", _U.NONE, "signed links live a few minutes", "Open the case again for a new link.", 403, 99, 99, 6),
    (_C.WEBHOOK_REFUSED, "Message refused", "The message's signature or time is not valid.", "", _U.NONE, "signed messages of the last five minutes", "Sign the raw body with the shared secret and send it again.", 401, 99, 99, 6),
    (_C.DAY_LIMIT, "Day's limit used up", "The order is worth more than what is left of today's limit.", "It is worth {needed}, {available} is left until midnight UTC.", _U.TEXT, "value of a day's orders by tier and product", "Use a smaller quantity, wait for the next day, or raise your tier at /onboarding.", 422, 3, 99, 0),
    (_C.PRODUCT_BANNED, "Product not offered", "This product may not be offered to retail clients where you live.", "Not offered in: {needed}.", _U.TEXT, "products by jurisdiction", "Choose another product; a position you have can be closed with a reduce-only order.", 403, 99, 99, 6),
    (_C.LEVERAGE_CAP, "Leverage above the cap", "This product's leverage is above what is allowed where you live.", "At most {needed}:1, the product has {available}:1.", _U.TEXT, "leverage cap by jurisdiction and product", "Choose a product with less leverage; a position you have can be closed with a reduce-only order.", 403, 99, 99, 6),
    (_C.DISCLOSURE_NEEDED, "Risk warning to be read", "Before the first order in this product you have to read and accept its risk warning.", "To accept: {needed}.", _U.TEXT, "accepted risk warnings before the first order", "Read and accept it at /account/limits, then send the order again.", 403, 99, 99, 6),
    (_C.NOT_APPROPRIATE, "Not appropriate", "By your answers about trading this product is not appropriate for you.", "Right answers needed: {needed}, given: {available}.", _U.TEXT, "appropriateness of complex products", "Answer the questions at /onboarding/steps/suitability anew; a position you have can be closed with a reduce-only order.", 403, 99, 99, 6),
    (_C.PRODUCT_ORDER_LIMIT, "Order above the product's limit", "The order is worth more than your tier allows for one order in this product.", "At most {needed}, the order is worth {available}.", _U.TEXT, "order value by tier and product", "Use a smaller quantity, or raise your tier at /onboarding.", 422, 20, 99, 0),
    (_C.DEPOSIT_LIMIT, "Deposit above the limit", "The deposits of 30 days would be above what the client's tier allows.", "At most {needed}, it would be {available}.", _U.TEXT, "deposits of 30 days by tier", "Pay in less, or raise the tier at /onboarding.", 422, 99, 99, 6),
    (_C.LIVENESS_REFUSED, "Liveness check not possible", "The liveness check cannot be begun or answered now.", "Needed: {needed}, it is {available}.", _U.TEXT, "one check at a time, answered in time, a few tries a day", "Begin a new check, or wait until tomorrow when there are no tries left.", 409, 99, 99, 0),
    (_C.LIMIT_CURRENCY, "Limits not in this currency", "Your limits are in another currency than this instrument is quoted in, so an order in it cannot be held against them.", "Limits are in {needed}, it is quoted in {available}.", _U.TEXT, "orders in the currency of the limits", "Choose an instrument quoted in the currency of your limits; a position you have can be closed with a reduce-only order.", 403, 99, 99, 6),
    (_C.MAKER_IS_CHECKER, "Needs another pair of eyes", "Who asked for this may not decide about it.", "", _U.NONE, "four eyes: maker ≠ checker", "Ask a colleague with the right to decide.", 403, 99, 99, 6),
    (_C.ALREADY_DECIDED, "Already decided", "This request was decided before.", "It is {available}.", _U.TEXT, "one decision a request", "See who decided, and make a new request if it is still needed.", 409, 99, 99, 6),
    (_C.APPROVAL_EXPIRED, "Request out of date", "This request was not decided in time.", "It ended at {needed}.", _U.TEXT, "requests end", "Make a new request.", 409, 99, 99, 6),
    (_C.REASON_MISSING, "Reason missing", "A reason is needed for this.", "At least {needed} characters.", _U.TEXT, "staff acts carry a reason", "Say in a sentence why.", 422, 99, 99, 6),
    (_C.UNKNOWN_ROLE, "No such role", "There is no role of that name, or it cannot be given this way.", "One of {needed}.", _U.TEXT, "roles are declared", "Choose one of the roles.", 422, 99, 99, 6),
    (_C.EMERGENCY_ALREADY_ON, "Emergency role already taken", "You have an emergency role already.", "It ends at {needed}.", _U.TEXT, "one emergency role at a time", "End it first, or wait for its end.", 409, 99, 99, 6),
    (_C.TIME_LIMIT_TOO_LONG, "Time limit not allowed", "The time limit is outside what is allowed.", "At most {needed} minutes, asked for {available}.", _U.TEXT, "time limits of staff access", "Choose a shorter time.", 422, 99, 99, 6),
    (_C.OUTBOUND_REFUSED, "Address not allowed", "Calls to this address are not allowed.", "{needed}.", _U.TEXT, "outbound allow-list", "Use a public https address on the allow-list.", 422, 99, 99, 6),
    (_C.ABOUT_ONESELF, "About yourself", "You may not decide about your own access or money.", "", _U.NONE, "four eyes: nobody decides about themselves", "Ask a colleague with the right to decide.", 403, 99, 99, 6),
    (_C.PAYOUTS_FROZEN, "Payouts frozen", "Nothing is paid out for a while after a change of a password, address or second factor.", "Until {needed}.", _U.TEXT, "no payout for a day after a change of credentials", "Wait until then; if the change was not yours, freeze the account and contact support.", 403, 99, 99, 6),
    (_C.DESTINATION_COOLING, "Destination still new", "A new payout destination can be used only after a while.", "From {needed} on.", _U.TEXT, "cool-off of new payout destinations", "Wait until then; remove the destination if you did not add it.", 403, 99, 99, 6),
    (_C.WITHDRAWAL_LIMIT, "Withdrawal above the limit", "The day's withdrawals would be above what the tier allows.", "At most {needed} until midnight UTC, it would be {available}.", _U.TEXT, "withdrawals of a day by tier", "Take less, wait for the next day, or raise the tier at /onboarding.", 422, 99, 99, 6),
    (_C.DESTINATION_NAME, "Not in the owner's name", "Money goes only to accounts in the name of the account's owner.", "Needed {needed}.", _U.TEXT, "payout destinations in the owner's name", "Give an account of your own, with its holder as your bank writes it; your legal name comes from your onboarding.", 422, 99, 99, 6),
    (_C.WITHDRAWAL_STATE, "Not possible any more", "The withdrawal is not in a state in which this can be done.", "Needed {needed}, it is {available}.", _U.TEXT, "documented steps of a withdrawal", "Reload the page and see how far it has got.", 409, 99, 99, 0),
    (_C.PAYOUT_REFERENCE_USED, "Reference used before", "Another withdrawal was paid under this reference.", "It was {available}.", _U.TEXT, "one bank reference, one payout", "Compare the bank's statement and give this payout's own reference.", 409, 99, 99, 0),
    (_C.REQUEST_STATE, "Not possible any more", "The request to the desk is not in a state in which this can be done.", "Needed {needed}, it is {available}.", _U.TEXT, "documented steps of a request to the desk", "Reload the page and see how far it has got.", 409, 99, 99, 0),
    (_C.REQUESTS_OPEN, "Too many open requests", "This account has as many open requests to the desk as it may have.", "At most {needed}.", _U.TEXT, "open requests per account", "Wait for the desk, or withdraw one that nobody works on yet.", 409, 99, 99, 0),
    (_C.NOTHING_TO_ASK, "Nothing to cancel or close", "There is no open order or position for this request, or less of it than asked for.", "Asked for {needed}, there is {available}.", _U.TEXT, "requests are about open orders and positions", "Reload the page: it shows what is open and what was asked for already.", 409, 99, 99, 0),
    (_C.UNKNOWN_HOLD, "Unknown hold", "There is no such hold in this account.", "", _U.NONE, "own live holds", "It was released or settled before: see the ledger.", 422, 99, 99, 1),
    (_C.BAD_AMOUNT, "Amount not allowed", "The amount must be greater than zero.", "", _U.FUNDS, "amount > 0", "Enter an amount above zero.", 422, 99, 99, 0),
    (_C.INTERNAL_ERROR, "Something went wrong", "The request failed for a reason on our side.", "", _U.NONE, "none: a fault", "Try again; quote the request id to support.", 500, 99, 99, 0),
    (_C.CAPACITY, "Engine full", "The engine has no room for this now.", "", _U.NONE, "engine capacity", "Try again later.", 503, 99, 99, 8),
    (_C.ENGINE_UNAVAILABLE, "Engine away", "The engine cannot be reached; the request was not sent.", "", _U.NONE, "engine running", "Try again in a moment.", 503, 99, 99, 4),
    (_C.OUTCOME_UNKNOWN, "Outcome unknown", "The request was sent but no answer came back; it may have been done.", "", _U.NONE, "answer within the time limit", "Ask for the order by its client order id, or send the same request with the same id again.", 504, 99, 99, 4),
    (_C.PROJECTION_STALE, "Data is behind", "The stored data is behind the engine.", "", _U.NONE, "projection up to date", "Try again in a moment.", 503, 99, 99, 4),
    (_C.OVERLOADED, "Overloaded", "The service has more work than it can take.", "", _U.NONE, "bounded queues", "Wait and send it again.", 503, 99, 99, 8),
    (_C.TIMEOUT, "Timed out", "The work took longer than allowed and was stopped; nothing was changed.", "", _U.NONE, "time limit", "Narrow the request, or try again.", 503, 99, 99, 4),
    (_C.STATEMENT_UNBALANCED, "Statement withheld", "The account's records do not add up, so no statement of it is shown. The fault is recorded.", "", _U.NONE, "opening balance and movements give the closing balance", "Contact support with the request id.", 500, 99, 99, 0),
)  # fmt: skip

TABLE: Mapping[RejectCode, Reject] = MappingProxyType({row[0]: Reject(*row) for row in _ROWS})
if set(TABLE) != set(RejectCode) or len(_ROWS) != len(TABLE):
    raise AssertionError("every code has exactly one row")


def as_markdown() -> str:
    """The text of docs/rejects.md."""
    lines = [
        "# Refusals",
        "",
        "Generated by `python -m brokerage.kernel.rejects > docs/rejects.md`; do not edit. Numbers are never reused.",
        "Source *core*: decided by the matching core (`native/include/core.h`), in the order of docs/engine.md;",
        "*edge*: by the API before or after it.",
        "FIX: OrdRejReason (103) / CxlRejReason (102) / BusinessRejectReason (380).",
        "",
        "| code | slug | source | HTTP | FIX | text | rule | next step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for code in sorted(TABLE):
        row = TABLE[code]
        fix = f"{row.ord_rej_reason} / {row.cxl_rej_reason} / {row.business_reject_reason}"
        text = f"{row.text} {row.numbers}".strip()
        lines.append(
            f"| {code.value} | `{row.slug}` | {'core' if code in CORE_CODES else 'edge'} | {row.http} | {fix} | {text} | {row.rule} | {row.next_step} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
