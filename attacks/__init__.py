"""Attacks: what malicious clients do, importable on their own.

>>> import numpy as np
>>> from robustfl.attacks import ALIE, IPM
>>> honest = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
>>> IPM(epsilon=0.5)(honest, f=2).tolist()
[[-1.5, -2.0], [-1.5, -2.0]]

On the updates: :class:`SignFlip`, :class:`Gaussian`, :class:`NonFinite`, :class:`IPM`, :class:`ALIE`,
:class:`Mimic`, :class:`FreeRider`, :class:`SignRandomising`, :class:`ValueInverting`, :class:`RandomRescaling`. On
rankings: :class:`ReverseRanking`, :class:`ShuffledRanking`, :class:`BoundarySwap`. On the data: :class:`LabelFlip`.
Failing machines: :class:`UniformNoise`, :class:`DroppedCoordinates`, :class:`CorruptedGradient`. On test samples:
:class:`FGSM`, :class:`PGD`, :class:`ZerothOrder`. Without malice: :class:`Dropout`. Under several names,
before an attack: :class:`Clones`, :class:`Whitewash`, :class:`TakingTurns`. To add an attack: one file here, one import
line below.
"""

from .alie import ALIE as ALIE
from .boundary_swap import BoundarySwap as BoundarySwap
from .clones import Clones as Clones
from .corrupted_gradient import CorruptedGradient as CorruptedGradient
from .dropout import Dropout as Dropout
from .dropped_coordinates import DroppedCoordinates as DroppedCoordinates
from .fgsm import FGSM as FGSM
from .free_rider import FreeRider as FreeRider
from .gaussian import Gaussian as Gaussian
from .ipm import IPM as IPM
from .label_flip import LabelFlip as LabelFlip
from .mimic import Mimic as Mimic
from .non_finite import NonFinite as NonFinite
from .pgd import PGD as PGD
from .random_rescaling import RandomRescaling as RandomRescaling
from .reverse_ranking import ReverseRanking as ReverseRanking
from .shuffled_ranking import ShuffledRanking as ShuffledRanking
from .sign_flip import SignFlip as SignFlip
from .sign_randomising import SignRandomising as SignRandomising
from .taking_turns import TakingTurns as TakingTurns
from .uniform_noise import UniformNoise as UniformNoise
from .value_inverting import ValueInverting as ValueInverting
from .whitewash import Whitewash as Whitewash
from .zeroth_order import ZerothOrder as ZerothOrder
