"""The models that clients train.

Start here:

* :mod:`~robustfl.federation.models.architectures` holds the models that scenarios name.
* :mod:`~robustfl.federation.models.modules` holds the torch modules of which they are made.
"""
