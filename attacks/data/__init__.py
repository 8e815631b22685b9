"""Attacks on the training data of malicious clients."""
