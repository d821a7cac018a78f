#!/usr/bin/env python
"""Django's command line for this project; it finds the servers of the platform that runs from this folder by itself."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError

from brokerage.config import ConfigError, get_config
from brokerage.launch.addresses import use_running_platform


def main() -> None:
    """Run the command; a missing database is one sentence, not a stack."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    try:
        use_running_platform()
        execute_from_command_line(sys.argv)
    except ConfigError as error:
        sys.exit(str(error))
    except OperationalError:
        if get_config().database_url:
            raise
        sys.exit("The platform is not running: start it with `make run`, or set DATABASE_URL and REDIS_URL.")


if __name__ == "__main__":
    main()
