"""Attacks on training data: the contract, and backdoors."""
