"""``python -m brokerage.serve -b HOST -p PORT [APPLICATION]``: the web process, daphne on uvloop.

Daphne takes the event loop that asyncio makes when daphne is imported; with uvloop's an order over REST costs a quarter less processor time
(docs/performance.md). Owns nothing else; the application is ``brokerage/asgi.py`` unless a bench or a test names its own.
"""

from __future__ import annotations

import argparse
import asyncio

import uvloop


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m brokerage.serve")
    parser.add_argument("-b", dest="host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("-p", dest="port", type=int, default=8000, help="port to listen on")
    parser.add_argument("application", nargs="?", default="brokerage.asgi:application")
    options = parser.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    from daphne.cli import CommandLineInterface

    # No access log: requests are counted and logged with their ids by the application.
    CommandLineInterface().run(["-v", "0", "-b", options.host, "-p", str(options.port), options.application])


if __name__ == "__main__":
    main()
