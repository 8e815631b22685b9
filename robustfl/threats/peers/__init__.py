"""Attacks in networks without a server: against gossip, and where Sybils attach."""
