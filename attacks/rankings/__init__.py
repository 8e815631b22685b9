"""Attacks on votes over rankings."""
