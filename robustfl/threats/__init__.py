"""What an attack is: one contract for each attack surface, and knowledge that is declared and enforced.

To write an attack, start with :class:`TiledAttack`, and read one of its short examples in :mod:`robustfl.attacks`, such
as `IPM`. What an attack may see is a :class:`View`. It declares the :class:`Knowledge` that it needs, and looking at
more raises :class:`~robustfl.errors.KnowledgeError`.

The contracts:

* :class:`UpdateAttack` crafts the malicious updates. :class:`TiledAttack` is for attacks in which all of them are one
  vector, and :class:`LocalAttack` for attacks whose malicious clients train in their own way.
* :class:`PredictionAttack` crafts what malicious clients claim to predict for public samples. Predictions are vectors,
  so most attacks on updates can be played there, too.
* :class:`RankAttack` crafts the malicious rankings when clients send rankings. :class:`CommonRankAttack` is for attacks
  in which all of them are one ranking.
* :class:`DataPoisoning` changes the malicious clients' training data, and they then train as honest clients do.
  :class:`Backdoor` is a poisoning with a trigger. `poisoning >> attack` combines it with an attack on updates.
* :class:`Identities` says under how many names malicious clients take part. `identities >> attack` combines it with
  any attack.
* :class:`PeerAttack` crafts what malicious peers send to each of their neighbours in a network without a server.
* :class:`RumourAttack` invents what malicious peers tell each of them about others. A poisoning may stand before it.
* :class:`Placement` says where malicious peers are in a network without a server. `placement >> identities >> attack`
  combines it with the rest.
* :class:`Evasion` changes test samples so that the trained model errs. :class:`Victim` is what it may see of the model.
* :class:`PrivacyAttack` finds out something about clients' data from a :class:`PrivacyView` of what an observer saw. It
  declares its :class:`Capability`.
* :class:`Fault` is what goes wrong without malice. It sees a :class:`FaultView` of a round or a client's
  :class:`LocalData`, and decides the :class:`Delivery` of messages.

The rooms and modules:

* ``updates``, ``data``, ``peers``: attacks on updates, on training data, and on networks of peers.
* ``privacy``: attacks on privacy, what their observers see, and what they answer.
* ``predictions``, ``rankings``, ``identities``, ``placement``, ``evasion``, ``faults``: the contracts of these names.
* ``attack``: what all attacks on training have in common; ``adversary``: those that craft messages, of any kind;
  ``knowledge``: what an adversary knows.
* ``staging``: the stages of an attack such as `identities >> poisoning >> attack`; ``bits``: flipping of bits.
"""

from robustfl.threats.adversary import Adversary, MessageAttack
from robustfl.threats.attack import Attack
from robustfl.threats.data.backdoors import Backdoor
from robustfl.threats.data.contract import DataPoisoning, PoisonedAttack
from robustfl.threats.evasion import Evasion, Victim
from robustfl.threats.faults import Delivery, Fault, FaultView, LocalData
from robustfl.threats.identities import Identities, SybilAttack
from robustfl.threats.knowledge import Knowledge
from robustfl.threats.peers.contract import PeerAttack
from robustfl.threats.peers.rumours import RumourAttack, RumourView
from robustfl.threats.placement import PlacedAttack, Placement
from robustfl.threats.predictions import PredictionAttack
from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.view import PrivacyView
from robustfl.threats.rankings import CommonRankAttack, RankAttack, RankView
from robustfl.threats.updates.contract import TiledAttack, UpdateAttack
from robustfl.threats.updates.local_training import LocalAttack
from robustfl.threats.updates.view import Facts, View

__all__ = [
    "Adversary",
    "Attack",
    "Backdoor",
    "Capability",
    "CommonRankAttack",
    "DataPoisoning",
    "Delivery",
    "Evasion",
    "Facts",
    "Fault",
    "FaultView",
    "Identities",
    "Knowledge",
    "LocalAttack",
    "LocalData",
    "MessageAttack",
    "PeerAttack",
    "PlacedAttack",
    "Placement",
    "PoisonedAttack",
    "PredictionAttack",
    "PrivacyAttack",
    "PrivacyView",
    "RankAttack",
    "RankView",
    "RumourAttack",
    "RumourView",
    "SybilAttack",
    "TiledAttack",
    "UpdateAttack",
    "Victim",
    "View",
]
