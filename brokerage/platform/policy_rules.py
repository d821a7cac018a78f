"""The words of the policy table: what a row can ask of who comes to a route, a topic or an action (``policy.py``)."""

from __future__ import annotations

from dataclasses import dataclass

READ, TRADE, WITHDRAW = "read", "trade", "withdraw"
#: Scopes of a key. They do not include one another.
SCOPES = (READ, TRADE, WITHDRAW)
#: What a key needs where it needs no scope, and where no key is enough whatever its scopes.
PUBLIC, PERSON = "public", "person"

ANYBODY, USER, STAFF, NONE = "anybody", "user", "staff", "none"

#: Whose the object of a request is. Of nothing: it names no object, or shows the caller's own.
NOTHING = ""
#: A trading account, by number: every member looks; owners and traders trade; owners decide about members. Others: 404.
LOOK, DEAL, OWN = "account: look", "account: deal", "account: own"
#: Something that belongs to one person: 404 for everybody else.
MINE = "mine"
#: A secret in the address is the right (mailed links).
LINK = "link"
#: A signed link for one person: refused (403) to everybody else.
SIGNED = "signed link"
#: A client, for staff: those of the desks and groups one is assigned to, all for roles without a fence. Others: 404.
CLIENT = "client"
#: Something all staff with the permission share.
SHARED = "shared"
#: A request of staff: whoever asked for it, and those of its kind who see all clients.
APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one route and method, topic or action asks of who comes."""

    who: str
    #: For REST: what an API key needs.
    key: str = PERSON
    of: str = NOTHING
    #: For staff: ``app.codename``; empty: every member of staff.
    permission: str = ""
    #: Kind of act that needs a fresh proof of who is there (``accounts/services/step_up.py``): asked for at the door of a page; a REST view
    #: asks itself, once it has read the body.
    step_up: str = ""
    #: Open without a second factor where everybody needs one (``CLIENT_SECOND_FACTOR``): where it is set up, and the brakes.
    bare: bool = False
    #: Entering orders: compliance must have said yes to the account's owner.
    verified: bool = False


ANYONE = Rule(ANYBODY, PUBLIC)
NOBODY = Rule(NONE)


def user(of: str = NOTHING, *, step_up: str = "", bare: bool = False) -> Rule:
    """Somebody signed in; no key."""
    return Rule(USER, of=of, step_up=step_up, bare=bare)


def key(scope: str, of: str = NOTHING, *, verified: bool = False, step_up: str = "") -> Rule:
    """Somebody signed in, or a key with the scope."""
    return Rule(USER, scope, of, verified=verified, step_up=step_up)


def staff(permission: str = "", of: str = NOTHING) -> Rule:
    """Staff with a permission."""
    return Rule(STAFF, of=of, permission=permission)


def factor_asked(rule: Rule) -> bool:
    """Tell whether a row shows or does something of the caller's own, so that it needs their second factor where all need one."""
    return (rule.who == USER and not rule.bare) or (rule.who == ANYBODY and rule.of not in (NOTHING, LINK))


def method_of(name: str) -> str:
    """The method whose row counts: HEAD is GET."""
    return "GET" if name == "HEAD" else name
