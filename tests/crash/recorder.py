"""``python -m tests.crash.recorder``: the recorder of the audit trail in a process of its own, until it is killed."""

from __future__ import annotations

import time

import django
import psycopg
from django.db import InterfaceError, OperationalError, connection

_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


def main() -> None:
    """Take turns."""
    django.setup()
    from compliance.audit.recorder import recorder_turn

    connection.settings_dict.setdefault("OPTIONS", {})["application_name"] = "recorder"
    while True:
        try:
            recorder_turn()
            time.sleep(0.01)
        except _AWAY:
            connection.close()


if __name__ == "__main__":
    main()
