"""Forms of the staff pages. They check form; the services decide."""

from __future__ import annotations

from django import forms

from accounts.forms import PortalForm
from accounts.roles import NEVER_IN_EMERGENCY, ROLES
from accounts.services.withdrawals import REFERENCE_MAX
from backoffice.services.access import EMERGENCY_MINUTES_MAX
from backoffice.services.approval_kinds import EVIDENCE_MIN, FactorReset
from backoffice.services.staff import REASON_MAX, REASON_MIN
from backoffice.services.view_as import MINUTES_MAX

#: As browsers send a day, whatever they show.
DAY = "%Y-%m-%d"


def _reason() -> forms.CharField:
    return forms.CharField(
        label="Reason",
        min_length=REASON_MIN,
        max_length=REASON_MAX,
        help_text="Kept in the audit trail; at least a few words.",
    )


class DecisionForm(PortalForm):
    """A reason; the button says what."""

    reason = _reason()


class RefusalForm(PortalForm):
    """Why a client does not get what was asked for."""

    reason = forms.CharField(
        label="Reason",
        min_length=REASON_MIN,
        max_length=REASON_MAX,
        help_text="The client reads it; kept in the audit trail.",
    )


class OutcomeForm(PortalForm):
    """What was done for a client outside of the platform."""

    outcome = forms.CharField(
        label="Outcome",
        min_length=REASON_MIN,
        max_length=REASON_MAX,
        help_text="What was done, where and at what price. The client reads it; kept in the audit trail.",
    )


class PaidForm(PortalForm):
    """A payout the bank has made."""

    reference = forms.CharField(
        min_length=4,
        max_length=REFERENCE_MAX,
        label="Bank reference",
        help_text="As on the statement. One reference belongs to one payout.",
    )


class DaysForm(PortalForm):
    """The days of a statement, both in it."""

    first = forms.DateField(
        label="First day (UTC)", input_formats=[DAY], widget=forms.DateInput(attrs={"type": "date"}, format=DAY)
    )
    last = forms.DateField(
        label="Last day (UTC)", input_formats=[DAY], widget=forms.DateInput(attrs={"type": "date"}, format=DAY)
    )


class MoneyForm(PortalForm):
    """Deposit or debit by hand."""

    kind = forms.ChoiceField(choices=[("deposit", "Deposit"), ("debit", "Debit")], label="What")
    asset = forms.CharField(max_length=12, label="Asset", initial="USD")
    amount = forms.CharField(max_length=32, label="Amount", widget=forms.TextInput(attrs={"inputmode": "decimal"}))
    reason = _reason()


class StateForm(PortalForm):
    """Trading state of an account."""

    state = forms.ChoiceField(
        choices=[("halted", "Halted: no new orders"), ("reduce_only", "Reduce only"), ("active", "Open")], label="State"
    )
    reason = _reason()


class LimitsForm(PortalForm):
    """Limits of an account."""

    max_open_orders = forms.CharField(max_length=6, label="Open orders at most", initial="200")
    max_order_value = forms.CharField(max_length=32, label="Value of one order at most")
    reason = _reason()


class FactorResetForm(PortalForm):
    """A client has lost every second factor and the recovery codes."""

    proof = forms.ChoiceField(choices=list(FactorReset.proofs.items()), label="How the client proved who they are")
    evidence = forms.CharField(
        min_length=EVIDENCE_MIN,
        max_length=64,
        label="Evidence",
        help_text="Where it is kept: recording, copy or file number. No personal data.",
    )
    reason = _reason()


class ViewAsForm(PortalForm):
    """Look as the client."""

    minutes = forms.IntegerField(min_value=1, max_value=MINUTES_MAX, initial=10, label="Minutes")
    reason = _reason()


class PasswordLinkForm(PortalForm):
    """Mail the client a link for a new password."""

    sign_out = forms.BooleanField(
        required=False,
        label="Sign them out everywhere",
        help_text="Ends every session and token now, for when somebody else may be in.",
    )
    reason = _reason()


class RoleForm(PortalForm):
    """Ask for a role for somebody."""

    user = forms.EmailField(max_length=254, label="Address of the user")
    role = forms.ChoiceField(choices=[(role, role.capitalize()) for role in ROLES], label="Role")
    reason = _reason()


class EmergencyForm(PortalForm):
    """Take a role in an emergency."""

    role = forms.ChoiceField(
        choices=[(role, role.capitalize()) for role in ROLES if role not in NEVER_IN_EMERGENCY], label="Role"
    )
    minutes = forms.IntegerField(min_value=1, max_value=EMERGENCY_MINUTES_MAX, initial=15, label="Minutes")
    reason = _reason()
