"""What time alone has ended is tidied away, in small steps, by the runners: sessions marked, exports and old links removed."""

from __future__ import annotations

from datetime import timedelta

from accounts.models import DataExport, MailToken
from accounts.services.sessions import sessions_expire
from brokerage.kernel.clock import utc_now

#: Rows removed in one go.
BATCH = 500
#: Dead links are kept for a while, to answer questions about them.
LINKS_KEPT = timedelta(days=30)


def identity_tidy() -> dict[str, int]:
    """Tidy once; returns what was done."""
    now = utc_now()
    exports = DataExport.objects.filter(expires_at__lte=now).values_list("pk", flat=True)[:BATCH]
    links = MailToken.objects.filter(expires_at__lte=now - LINKS_KEPT).values_list("pk", flat=True)[:BATCH]
    return {
        "sessions": sessions_expire(),
        "exports": DataExport.objects.filter(pk__in=list(exports)).delete()[0],
        "links": MailToken.objects.filter(pk__in=list(links)).delete()[0],
    }
