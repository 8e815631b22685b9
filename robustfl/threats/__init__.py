"""What an attack is: one contract for each attack surface, and knowledge that is declared and enforced.

* :class:`UpdateAttack` crafts the malicious updates; :class:`TiledAttack` when all of them are one vector.
* :class:`DataPoisoning` changes the malicious clients' training data; they then train as told.
* :class:`Fault` is what happens without malice, such as clients that vanish.
* :class:`View` is all that an attack gets to see; reaching for more than :class:`Knowledge` declares raises.
"""

from robustfl.threats.adversary import Adversary
from robustfl.threats.contracts import Attack, DataPoisoning, Fault, TiledAttack, UpdateAttack
from robustfl.threats.knowledge import Facts, Knowledge, View

__all__ = [
    "Adversary",
    "Attack",
    "DataPoisoning",
    "Facts",
    "Fault",
    "Knowledge",
    "TiledAttack",
    "UpdateAttack",
    "View",
]
