"""What an attack is: one contract for each attack surface, and knowledge that is declared and enforced.

* :class:`UpdateAttack` crafts the malicious updates; :class:`TiledAttack` when all of them are one vector.
* :class:`RankAttack` crafts the malicious rankings where clients rank; :class:`CommonRankAttack` when they are one.
* :class:`DataPoisoning` changes the malicious clients' training data; they then train as told.
* :class:`Evasion` changes test samples until the trained model errs; :class:`Victim` is all that it gets to see.
* :class:`Identities` says under how many names malicious clients take part; `identities >> attack` joins the two.
* :class:`Fault` is what happens without malice, such as clients that vanish.
* :class:`View` is all that an attack gets to see; reaching for more than :class:`Knowledge` declares raises.
"""

from robustfl.threats.adversary import Adversary
from robustfl.threats.contracts import Attack, DataPoisoning, Fault, TiledAttack, UpdateAttack
from robustfl.threats.evasion import Evasion, Victim
from robustfl.threats.identities import Identities, SybilAttack
from robustfl.threats.knowledge import Facts, Knowledge, View
from robustfl.threats.rankings import CommonRankAttack, RankAttack, RankView

__all__ = [
    "Adversary",
    "Attack",
    "CommonRankAttack",
    "DataPoisoning",
    "Evasion",
    "Facts",
    "Fault",
    "Identities",
    "Knowledge",
    "RankAttack",
    "RankView",
    "SybilAttack",
    "TiledAttack",
    "UpdateAttack",
    "Victim",
    "View",
]
