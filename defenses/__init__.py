"""Defenses: robust aggregation rules and pre-aggregations, importable on their own.

>>> from robustfl.defenses import Krum, NNM, TrimmedMean
>>> updates = [[1.0, 2.0], [1.2, 1.8], [0.9, 2.1], [1.1, 2.0], [50.0, -50.0]]
>>> Krum(f=1)(updates).tolist()
[1.0, 2.0]
>>> answer = (NNM(f=1) >> TrimmedMean(f=1)).aggregate(updates)
>>> answer.value.round(2).tolist()
[1.05, 1.98]

Rules: :class:`Mean`, :class:`Median`, :class:`TrimmedMean`, :class:`Krum`, :class:`MultiKrum`,
:class:`GeometricMedian`, :class:`CenteredClipping`. Pre-aggregations, composed with ``>>``: :class:`NNM`,
:class:`Bucketing`, :class:`Clipping`. Updates are numpy arrays, torch tensors, lists of arrays or state dicts; the
answer comes back in the same type, dtype and device. To add a rule: one file here, one import line below.
"""

from .bucketing import Bucketing as Bucketing
from .centered_clipping import CenteredClipping as CenteredClipping
from .clipping import Clipping as Clipping
from .geometric_median import GeometricMedian as GeometricMedian
from .krum import Krum as Krum
from .mean import Mean as Mean
from .median import Median as Median
from .multi_krum import MultiKrum as MultiKrum
from .nnm import NNM as NNM
from .trimmed_mean import TrimmedMean as TrimmedMean
