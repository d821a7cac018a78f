"""Tables of the back office."""

from backoffice.models.access import BreakGlass, RoleGrant, ViewAs
from backoffice.models.approvals import Approval
from backoffice.models.desk import ClientGroup, Desk

__all__ = ["Approval", "BreakGlass", "ClientGroup", "Desk", "RoleGrant", "ViewAs"]
