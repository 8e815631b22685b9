"""What a defense on the server is: contracts, the ``[n, d]`` update matrix, Gram space and the kernels.

* :class:`Aggregator` turns updates into one update. Write a :class:`GramAggregator` when the result is a weighted sum
  of rows whose weights follow from the geometry, a :class:`CoordinateWise` when every column stands alone, and a plain
  :class:`Aggregator` for the rest.
* :class:`PreAggregation` turns updates into updates and composes with ``>>``; most are a :class:`RowMap`.
* :class:`ColumnBlocks` holds updates that are larger than memory.
* :class:`Aggregation` is the full answer of ``aggregator.aggregate(updates)``.
"""

from robustfl.aggregation.contracts import Aggregator, Chain, Pipeline, PreAggregation
from robustfl.aggregation.defense import Aggregation, Defense, Outcome
from robustfl.aggregation.families import CoordinateWise, GramAggregator, RowMap
from robustfl.aggregation.updates.gram import Gram
from robustfl.aggregation.updates.readers import ColumnBlocks
from robustfl.aggregation.updates.rows import Rows

__all__ = [
    "Aggregation",
    "Aggregator",
    "Chain",
    "ColumnBlocks",
    "CoordinateWise",
    "Defense",
    "Gram",
    "GramAggregator",
    "Outcome",
    "Pipeline",
    "PreAggregation",
    "RowMap",
    "Rows",
]
