"""Attacks on the updates that malicious clients send."""
