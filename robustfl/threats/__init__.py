"""What an attack is: one contract for each attack surface, and knowledge that is declared and enforced.

* :class:`UpdateAttack` crafts the malicious updates; :class:`TiledAttack` when all of them are one vector.
* :class:`RankAttack` crafts the malicious rankings where clients rank; :class:`CommonRankAttack` when they are one.
* :class:`DataPoisoning` changes the malicious clients' training data; they then train as told.
* :class:`Backdoor` is a poisoning with a trigger; :class:`LocalAttack` decides how malicious clients train, and
  `poisoning >> attack on updates` joins what they train on with what they send.
* :class:`Evasion` changes test samples until the trained model errs; :class:`Victim` is all that it gets to see.
* :class:`Identities` says under how many names malicious clients take part; `identities >> attack` joins the two.
* :class:`Fault` is what happens without malice, in the data, in computing, to messages or on the network; it sees a
  :class:`FaultView` of a trial or a client's :class:`LocalData`, and decides the :class:`Delivery` of messages.
* :class:`View` is all that an attack gets to see; reaching for more than :class:`Knowledge` declares raises.
"""

from robustfl.threats.attack import Attack
from robustfl.threats.data.backdoors import Backdoor
from robustfl.threats.data.contract import DataPoisoning, PoisonedAttack
from robustfl.threats.evasion import Evasion, Victim
from robustfl.threats.faults import Delivery, Fault, FaultView, LocalData
from robustfl.threats.identities import Identities, SybilAttack
from robustfl.threats.knowledge import Facts, Knowledge, View
from robustfl.threats.rankings import CommonRankAttack, RankAttack, RankView
from robustfl.threats.updates.contract import Adversary, TiledAttack, UpdateAttack
from robustfl.threats.updates.local_training import LocalAttack

__all__ = [
    "Adversary",
    "Attack",
    "Backdoor",
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
    "PoisonedAttack",
    "RankAttack",
    "RankView",
    "SybilAttack",
    "TiledAttack",
    "UpdateAttack",
    "Victim",
    "View",
]
