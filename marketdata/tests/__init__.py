"""Tests of marketdata."""
