"""Tests of the streams through a real ASGI server."""
