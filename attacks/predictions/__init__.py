"""Attacks on what clients predict for public samples, when clients send predictions in place of updates.

* ``wrong_class`` is sure of a wrong class, and ``reversed_beliefs`` believes most what should be believed least.
* ``hidden_shift`` turns over the samples that can be turned over from within the honest spread.
* ``prediction_search`` asks the defense, sample by sample, what turns over most of them.
"""
