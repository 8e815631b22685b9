"""Attacks on test samples, against the trained model."""
