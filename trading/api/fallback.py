"""The answer to an address below /api/v1/ that nobody serves: a problem document, not a page."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api import ApiView


@extend_schema(exclude=True)
class UnknownView(ApiView):
    """Refuses everything with 2014."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Count it, then refuse whatever the method."""
        super().initial(request, *args, **kwargs)
        raise RejectedError(RejectCode.NOT_FOUND, "There is nothing at this address.")
