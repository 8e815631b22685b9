"""Attacks: what malicious clients do, importable on their own.

>>> import numpy as np
>>> from robustfl.attacks import ALIE, IPM
>>> honest = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
>>> IPM(epsilon=0.5)(honest, f=2).tolist()
[[-1.5, -2.0], [-1.5, -2.0]]

On the updates: :class:`SignFlip`, :class:`Gaussian`, :class:`NonFinite`, :class:`IPM`, :class:`ALIE`,
:class:`Mimic`. On the data: :class:`LabelFlip`. Without malice: :class:`Dropout`. To add an attack: one file here, one
import line below.
"""

from .alie import ALIE as ALIE
from .dropout import Dropout as Dropout
from .gaussian import Gaussian as Gaussian
from .ipm import IPM as IPM
from .label_flip import LabelFlip as LabelFlip
from .mimic import Mimic as Mimic
from .non_finite import NonFinite as NonFinite
from .sign_flip import SignFlip as SignFlip
