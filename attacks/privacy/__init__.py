"""Attacks on privacy: what somebody who watches finds out about the data of clients.

Start with `Analytic`, the simplest one. Their contract is :class:`~robustfl.threats.PrivacyAttack`; a suite lists them
under `privacy`.

* ``analytic``: `Analytic` reads one sample off the gradient of the first layer, and ``row_ratios``: `RowRatios` takes
  one candidate from each of its neurons.
* ``exact_batches``: `ExactBatches` recovers small batches exactly from the first layer, and proves it.
* ``label_counts``: `LabelCounts` reads off the last layer how often each class was in a batch.
* ``inverting_gradients``: `InvertingGradients` searches for samples whose gradient points where the message points, and
  ``grad_inversion``: `GradInversion` lets its searches agree.
* ``surrogate_model``: `SurrogateModel` does so for several local steps, at a model between the first and the last.
* ``dlg``, ``idlg``: `DLG` and `IDLG` search for samples whose gradient is the message, without and with labels.
* ``imprint``: `Imprint` reads samples off the differences of neurons, by weights that an active server sends.
* ``inconsistent_model``: `InconsistentModel` turns a secure sum into the message of one client.
* ``class_fishing``: `ClassFishing` makes all layers but the last learn from the samples of one class alone.
* ``sent_samples``: `SentSamples` takes virtual data, which clients send, for their own samples.

Who was trained on is what these ask. They are measured on federations that are trained on halves of the samples, each
of which is the target once (:mod:`robustfl.federation.spying.siblings`):

* ``loss_threshold``: `LossThreshold` needs a model alone, and ``lira``, ``rmia``: `LiRA` and `RMIA` compare it with
  shadow models, which are the other federations.
* ``update_alignment``: `UpdateAlignment` compares the messages of a client with the gradients of its samples.
* ``nearest_sample``: `NearestSample` asks how close virtual data come to a sample.
"""
