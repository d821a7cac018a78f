"""Users: who someone is. Signs in by e-mail; what they own hangs on trading accounts."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower


class UserManager(BaseUserManager["User"]):
    """Make users; e-mail addresses are kept as given and compared without case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a user; ``password=None`` means that nobody can sign in with one."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=email.strip(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create an administrator."""
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> User:
        """Find by e-mail, without case: how sign-in looks a user up."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who can sign in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    display_name = models.CharField(max_length=80, blank=True, default="")
    country = models.CharField(max_length=2, blank=True, default="", help_text="ISO 3166-1 alpha-2")
    time_zone = models.CharField(max_length=64, blank=True, default="", help_text="IANA name; empty: the browser's")
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    email_confirmed_at = models.DateTimeField(null=True, blank=True)
    kyc_tier = models.PositiveSmallIntegerField(
        default=0, help_text="How far the person is verified; written by compliance, read by everyone below"
    )
    trading_allowed = models.BooleanField(default=False, help_text="Compliance allows new orders")
    jurisdiction = models.CharField(
        max_length=8, blank=True, default="", help_text="Whose rules hold, as compliance found; empty: by the country"
    )
    right_answers = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Of the questions about trading; empty: not asked"
    )
    date_joined = models.DateTimeField(auto_now_add=True)
    password_changed_at = models.DateTimeField(null=True, blank=True)
    frozen_at = models.DateTimeField(null=True, blank=True, help_text="Sign-in and payouts are refused since then")
    frozen_reason = models.CharField(max_length=120, blank=True, default="")
    payouts_frozen_until = models.DateTimeField(null=True, blank=True, help_text="After a change of credentials")
    account_due = models.BooleanField(
        default=False, help_text="Registered and not signed in yet: the account is opened at the first sign-in"
    )
    settings_locked_at = models.DateTimeField(null=True, blank=True)
    settings_unlock_at = models.DateTimeField(null=True, blank=True, help_text="When a wish to unlock takes effect")

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    class Meta:
        ordering = ("email",)
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_without_case")]

    def __str__(self) -> str:
        return self.email

    @property
    def is_frozen(self) -> bool:
        """True while nobody may sign in, with whatever credentials."""
        return self.frozen_at is not None
