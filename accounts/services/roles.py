"""Groups made equal to the table of roles: no permission more, none less."""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from accounts.roles import RENAMED, ROLES


class UnknownPermissionError(Exception):
    """A role names a permission that no model declares; the text names both."""


def _known() -> dict[str, Permission]:
    return {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }


def roles_sync() -> list[str]:
    """Make each role's group carry exactly its permissions; returns the names of the groups that were changed."""
    known = _known()
    if frozenset().union(*ROLES.values()) - set(known):
        # A flushed database has no rows of permissions; migrate makes them only when it has something to do.
        ContentType.objects.clear_cache()
        for app in apps.get_app_configs():
            create_permissions(app, verbosity=0)
        known = _known()
    changed = []
    with transaction.atomic():
        for name, codes in ROLES.items():
            missing = codes - set(known)
            if missing:
                raise UnknownPermissionError(f"The role {name} names unknown permissions: {', '.join(sorted(missing))}")
            group, _ = Group.objects.get_or_create(name=name)
            wanted = {known[code].pk for code in codes}
            if set(group.permissions.values_list("pk", flat=True)) != wanted:
                group.permissions.set(wanted)
                changed.append(name)
        for old, new in RENAMED.items():
            former = Group.objects.filter(name=old).first()
            if former is not None:
                for user in former.user_set.all():
                    user.groups.add(Group.objects.get(name=new))
                former.delete()
    return changed


def permissions_of_roles(names: list[str]) -> frozenset[str]:
    """What these roles give together."""
    return frozenset().union(*(ROLES.get(name, frozenset()) for name in names))
