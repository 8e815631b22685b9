"""Mixing without a server: every peer makes its next model from its own and the letters of its neighbours.

A newcomer reads in this order:

* :class:`Letters` are the models that were sent, as rows of one matrix, and :class:`Hoods` says who reads which of
  them, with which gossip weights, and how many malicious neighbours each peer expects. :class:`Occasion` is the round.
* :class:`Mixer` is the contract of rules. ``mixer.mix(letters, hoods)`` refuses hostile letters, applies the rule to
  all peers at once, and answers with :class:`Mixed`. ``mixer.mix_one(own, {id: model})`` does so for one peer, in its
  own types, and tells it why (:class:`Told`).
* Rules derive from a family: :class:`LinearMixer` (gossip weights alone), :class:`StarMixer` (distances from the own
  model), :class:`GramMixer` (all distances in a neighbourhood), :class:`ColumnMixer` (column by column),
  :class:`HearsayMixer` (peers also tell each other about third ones: :class:`Rumour`), or :class:`Mixer` itself.

* :class:`PerNeighbourhood` makes a mixer of any rule for the updates of a server; :func:`for_peers` does so where it is
  needed, and :func:`for_samples` where who mixes combines the models of others.

Rules see a :class:`Gathering`: clean letters in a :class:`Group` for each size of neighbourhood and bound.
"""

from robustfl.aggregation.neighbourhoods.families import ColumnMixer, GramMixer, LinearMixer, StarMixer
from robustfl.aggregation.neighbourhoods.gathering import Gathering, Group
from robustfl.aggregation.neighbourhoods.hearsay import HearsayMixer
from robustfl.aggregation.neighbourhoods.letters import Hoods, Letters, Occasion
from robustfl.aggregation.neighbourhoods.lifted import PerNeighbourhood, for_peers, for_samples
from robustfl.aggregation.neighbourhoods.mixer import Mixed, Mixer, Mixing
from robustfl.aggregation.neighbourhoods.one_peer import Told
from robustfl.aggregation.neighbourhoods.rumours import Rumour

__all__ = [
    "ColumnMixer",
    "Gathering",
    "GramMixer",
    "Group",
    "HearsayMixer",
    "Hoods",
    "Letters",
    "LinearMixer",
    "Mixed",
    "Mixer",
    "Mixing",
    "Occasion",
    "PerNeighbourhood",
    "Rumour",
    "StarMixer",
    "Told",
    "for_peers",
    "for_samples",
]
