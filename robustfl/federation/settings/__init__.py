"""The rules of a federation as data: scenarios state them, trials hash them, and the simulation obeys them.

Start with :class:`Federation`, which holds all of them; :class:`Settings` is the base of all models of scenarios.
"""

from robustfl.federation.settings.base import Settings
from robustfl.federation.settings.clients import AdversarialTraining, Augmentation, Distillation, VirtualData
from robustfl.federation.settings.federation import TAIL_MEASUREMENTS, Federation
from robustfl.federation.settings.peers import Peers
from robustfl.federation.settings.server import FirstOrder, Inversion, Server, Weights

__all__ = [
    "TAIL_MEASUREMENTS",
    "AdversarialTraining",
    "Augmentation",
    "Distillation",
    "Federation",
    "FirstOrder",
    "Inversion",
    "Peers",
    "Server",
    "Settings",
    "VirtualData",
    "Weights",
]
