"""Defenses of peers that learn without a server: rules for how a peer mixes its model with its neighbours' models.

Each rule mixes all peers of a network at a time (:mod:`robustfl.aggregation.neighbourhoods`).

>>> import numpy as np
>>> from robustfl.aggregation.neighbourhoods import Hoods, Letters
>>> from robustfl.defenses import Gossip
>>> triangle = Hoods(index=[[0, 1, 2], [1, 0, 2], [2, 0, 1]], weights=np.full((3, 3), 1 / 3), bounds=[0, 0, 0])
>>> Gossip().mix(Letters(np.array([[0.0], [3.0], [6.0]])), triangle).models.tolist()
[[3.0], [3.0], [3.0]]

* :class:`Gossip` is plain averaging with the gossip weights, the baseline without any defense, and
  :class:`VarianceCorrected` keeps the variance that averaging takes from models. :class:`Alone` hears nobody; it is the
  yardstick of collaboration.
* These compare the neighbours with the own model: :class:`NNA`, :class:`GTS`, :class:`ClippedGossip`, :class:`CSPlus`,
  :class:`CSHe`, :class:`Balance`. :class:`UBAR` also tries their models out, and :class:`Bristle` does so class by
  class.
* :class:`SybilWall` also compares them with what neighbours tell about theirs, by rumours.
* These compare neighbours with each other: :class:`IOS`, :class:`LocalFoolsGold`, and :class:`Bridge` in each column.
  :class:`PeerMeritRank` also remembers who stood near whom, and trusts by random walks over that.

Every rule for the updates of a server can be used by peers as well
(:class:`~robustfl.aggregation.neighbourhoods.PerNeighbourhood`).
"""

from .alone import Alone as Alone
from .balance import Balance as Balance
from .bridge import Bridge as Bridge
from .bristle import Bristle as Bristle
from .clipped_gossip import ClippedGossip as ClippedGossip
from .cs_he import CSHe as CSHe
from .cs_plus import CSPlus as CSPlus
from .gossip import Gossip as Gossip
from .gts import GTS as GTS
from .ios import IOS as IOS
from .local_fools_gold import LocalFoolsGold as LocalFoolsGold
from .nna import NNA as NNA
from .peer_merit_rank import PeerMeritRank as PeerMeritRank
from .sybilwall import SybilWall as SybilWall
from .ubar import UBAR as UBAR
from .variance_corrected import VarianceCorrected as VarianceCorrected
