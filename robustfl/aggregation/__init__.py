"""What a defense on the server is: contracts, the ``[n, d]`` update matrix, Gram space and the kernels.

* :class:`Aggregator` turns updates into one update. Write a :class:`GramAggregator` when the result is a weighted sum
  of rows whose weights follow from the geometry, a :class:`CoordinateWise` when every column stands alone, and a plain
  :class:`Aggregator` for the rest.
* :class:`PreAggregation` turns updates into updates and composes with ``>>``.
* :class:`Aggregation` is the full answer of ``aggregator.aggregate(updates)``.
"""

from robustfl.aggregation.contracts import Aggregation, Aggregator, Defense, Outcome, PreAggregation
from robustfl.aggregation.families import Chain, CoordinateWise, GramAggregator, Pipeline
from robustfl.aggregation.gram import Gram
from robustfl.aggregation.rows import Rows

__all__ = [
    "Aggregation",
    "Aggregator",
    "Chain",
    "CoordinateWise",
    "Defense",
    "Gram",
    "GramAggregator",
    "Outcome",
    "Pipeline",
    "PreAggregation",
    "Rows",
]
