"""The models that clients train.

* :mod:`~robustfl.federation.models.architectures` are the models that scenarios name,
  :mod:`~robustfl.federation.models.modules` the torch modules that they are made of.
"""
