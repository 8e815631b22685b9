"""Defenses of peers that learn without a server: rules for how a peer mixes its model with its neighbours' models.

Each rule mixes all peers of a network at a time (:mod:`robustfl.aggregation.neighbourhoods`).

>>> import numpy as np
>>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
>>> from robustfl.defenses import Gossip
>>> triangle = Hoods(index=[[0, 1, 2], [1, 0, 2], [2, 0, 1]], weights=np.full((3, 3), 1 / 3), bounds=[0, 0, 0])
>>> Gossip().mix(Letters(np.array([[0.0], [3.0], [6.0]])), triangle).models.tolist()
[[3.0], [3.0], [3.0]]

* :class:`Gossip` is plain averaging with the gossip weights, the baseline without any defense.
"""

from .gossip import Gossip as Gossip
