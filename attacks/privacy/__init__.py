"""Attacks on privacy: what somebody who watches finds out about the data of clients.

Start with `Analytic`, the simplest one. Their contract is :class:`~robustfl.threats.PrivacyAttack`; a suite lists them
under `privacy`.

* ``analytic``: `Analytic` reads one sample off the gradient of the first layer, and ``row_ratios``: `RowRatios` takes
  one candidate from each of its neurons.
* ``label_counts``: `LabelCounts` reads off the last layer how often each class was in a batch.
* ``inverting_gradients``: `InvertingGradients` searches for samples whose gradient points where the message points, and
  ``grad_inversion``: `GradInversion` lets its searches agree.
* ``dlg``, ``idlg``: `DLG` and `IDLG` search for samples whose gradient is the message, without and with labels.
"""
