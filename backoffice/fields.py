"""Who may read and who may write which field: the table by role, made from what the application itself goes by.

REST: the serializers (through the OpenAPI document) beside the rows of ``brokerage/platform/policy.py``. Administration: the forms and lists of
its tables beside the permissions of each role. ``manage.py field_table`` prints it, ``docs/fields.md`` keeps it: a field that comes or goes
anywhere changes that file, where it is seen and agreed to. ``tests/authorization/test_fields.py`` compares both and holds real answers to it.
Whose object a call may be about, and so whose fields, is the policy table's word ``of``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.test import RequestFactory
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator

from accounts.roles import ROLES
from brokerage.platform.policy import ADMIN_TABLES, REST
from brokerage.platform.policy_rules import ANYBODY, LINK, NOTHING, PERSON, PUBLIC, STAFF, Rule
from compliance.forms import FORMS

ANY = "*"
#: Calls whose body depends on the step in the address: the steps.
STEP_ROUTES = {
    "api-onboarding-step": tuple(name for name in FORMS if name != "company"),
    "api-onboarding-entity-step": ("company",),
}


@dataclass(frozen=True, slots=True)
class RestFields:
    """One call: who, and the fields of its body, of its parameters and of its answer. Nested ones are dotted; ``*`` is any name."""

    route: str
    method: str
    rule: Rule
    writes: tuple[str, ...]
    asks: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def who(self) -> str:
        """The rule in words."""
        rule = self.rule
        if rule.who == ANYBODY:
            return "whoever has the link or signature" if rule.of == LINK else "anybody"
        if rule.who == STAFF:
            return f"staff: {', '.join(roles_with(rule.permission)) or 'administrators'}"
        key = {PERSON: "no key", PUBLIC: "any key"}.get(rule.key, f"key: {rule.key}")
        return f"signed in ({key}){f', {rule.of}' if rule.of != NOTHING else ''}"


@dataclass(frozen=True, slots=True)
class TableFields:
    """One table of the administration for one set of roles."""

    label: str
    roles: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def roles_with(permission: str) -> tuple[str, ...]:
    """The roles that hold a permission; every role when none is asked for."""
    return tuple(sorted(name for name, held in ROLES.items() if not permission or permission in held))


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


def rest_fields() -> list[RestFields]:
    """A row for each call of the API, in the order of the policy table."""
    schema, found = document(), []
    for route, row in REST.items():
        operations = schema["paths"].get(_path(route), {})
        for method, rule in row.items():
            operation = operations.get(method.lower(), {})
            body = _media(operation.get("requestBody", {}))
            answers = [
                _media(answer) for status, answer in operation.get("responses", {}).items() if str(status) < "300"
            ]
            writes = set(names_of(schema, body))
            if route in STEP_ROUTES:
                # One body for each step; which fields it has is its form's.
                writes = {f"{step}: {name}" for step in STEP_ROUTES[route] for name in FORMS[step].base_fields}
            asks = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            reads = {name for answer in answers for name in names_of(schema, answer)}
            found.append(
                RestFields(route, method, rule, tuple(sorted(writes)), tuple(sorted(asks)), tuple(sorted(reads)))
            )
    return found


def names_of(schema: Mapping[str, Any], shape: Any, prefix: str = "", depth: int = 0) -> list[str]:
    """Dotted names of all fields of a schema; items of lists have the list's name."""
    if not shape or depth > 12:
        return []
    found: set[str] = set()
    if "$ref" in shape:
        return names_of(schema, schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]], prefix, depth + 1)
    for part in (*shape.get("allOf", ()), *shape.get("oneOf", ()), *shape.get("anyOf", ())):
        found.update(names_of(schema, part, prefix, depth + 1))
    if shape.get("type") == "array":
        found.update(names_of(schema, shape.get("items"), prefix, depth + 1))
    for name, part in shape.get("properties", {}).items():
        inner = names_of(schema, part, f"{prefix}{name}.", depth + 1)
        # A part without a type is any JSON: what is in it is the row's own (an approval's payload, an act's before and after).
        known = part.keys() & {"type", "$ref", "allOf", "oneOf", "anyOf", "enum"}
        found.update(inner or [f"{prefix}{name}" if known else f"{prefix}{name}.{ANY}"])
    if shape.get("additionalProperties", False) is not False:
        inner = (
            names_of(schema, shape["additionalProperties"], f"{prefix}{ANY}.", depth + 1)
            if isinstance(shape["additionalProperties"], dict)
            else []
        )
        found.update(inner or [f"{prefix}{ANY}"])
    return sorted(found)


def names_in(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of what an answer holds, spelled as in ``names_of``; nothing for what is empty, ``name?`` for null: it may stand for an object."""
    if isinstance(value, list):
        for item in value:
            yield from names_in(item, prefix)
    elif isinstance(value, dict):
        for name, part in value.items():
            inner = list(names_in(part, f"{prefix}{name}."))
            if inner:
                yield from inner
            elif not (isinstance(part, dict | list) and not part):
                yield f"{prefix}{name}{'?' if part is None else ''}"


def declared(name: str, names: tuple[str, ...]) -> bool:
    """True when a field of an answer is one of the declared ones, or lies where any name may."""
    if name.endswith("?"):
        name = name[:-1]
        return declared(name, names) or any(one.startswith(f"{name}.") for one in names)
    for one in names:
        pattern = re.escape(one).replace(re.escape(ANY), r"[^.]+")
        if re.fullmatch(pattern, name):
            return True
        # Any JSON may also be empty, or deeper than one name.
        if one.endswith(f".{ANY}") and (name == one[:-2] or re.match(f"{pattern}\\.", name)):
            return True
    return False


def table_fields() -> list[TableFields]:
    """A row for each table of the administration and each set of roles that can do the same with it."""
    found: list[TableFields] = []
    for label, verbs in ADMIN_TABLES.items():
        app, model = label.split(".")
        shown = next(one for table, one in admin.site._registry.items() if table._meta.label_lower == label)
        reads, writes = _form(shown)
        may = {verb: roles_with(f"{app}.{verb}_{model}") for verb in ("view", "add", "change") if verb in verbs}
        writers = tuple(sorted({*may.get("add", ()), *may.get("change", ())}))
        readers = tuple(name for name in may.get("view", ()) if name not in writers)
        if writers and writes:
            found.append(TableFields(label, writers, reads, writes))
        if readers or not writers:
            found.append(TableFields(label, readers or ("superusers",), reads, ()))
    return found


class _Everything:
    """A member of staff who may do everything: what forms show at most."""

    is_active = is_staff = is_superuser = is_authenticated = True
    pk = None

    def has_perm(self, *args: Any) -> bool:
        return True

    has_module_perms = has_perm

    def is_verified(self) -> bool:
        return True


def _form(shown: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    request = RequestFactory().get("/")
    request.user = _Everything()  # type: ignore[assignment]
    reads, writes = {str(name) for name in shown.list_display} - {"__str__", "action_checkbox"}, set()
    for made, may in ((None, shown.has_add_permission(request)), (shown.model(), shown.has_change_permission(request))):
        fields = set(flatten_fieldsets(shown.get_fieldsets(request, made)))
        if made is not None:
            reads |= {str(name) for name in fields}
        if may:
            writes |= {str(name) for name in fields} - set(map(str, shown.get_readonly_fields(request, made)))
    return tuple(sorted(reads)), tuple(sorted(writes))


def _path(route: str) -> str:
    shapes = get_resolver().reverse_dict.getlist(route)
    path = shapes[0][0][0][0] if shapes else ""
    return "/" + re.sub(r"%\((\w+)\)s", r"{\1}", path)


def _media(part: Mapping[str, Any]) -> Any:
    for content in part.get("content", {}).values():
        return content.get("schema")
    return None


def as_markdown() -> str:
    """The text of ``docs/fields.md``."""
    lines = [
        "# Fields by role",
        "",
        "Made by `manage.py field_table > docs/fields.md`; do not edit. Who may send and who gets which field, from the serializers, the forms of",
        "the administration, `brokerage/platform/policy.py` and `accounts/roles.py`. A field that is not in a row is refused (1010) when it is sent",
        "and in no answer: `tests/authorization/test_fields.py`. `a.b` is b inside a (or inside each item of the list a), `*` any name.",
        "",
        "## REST",
        "",
        "| call | who | may send | parameters | gets |",
        "|---|---|---|---|---|",
    ]
    for row in rest_fields():
        cells = (f"{row.method} {row.route}", row.who, *(_cell(names) for names in (row.writes, row.asks, row.reads)))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Administration", "", "| table | roles | may read | may write |", "|---|---|---|---|"]
    for table in table_fields():
        cells = (table.label, ", ".join(table.roles), _cell(table.reads), _cell(table.writes))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"
