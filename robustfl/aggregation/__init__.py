"""What a defense is: the contracts of rules, the ``[n, d]`` update matrix, Gram space and the kernels.

A newcomer who wants to write a rule starts with one of these base classes:

* :class:`Aggregator` turns updates into one update. Derive from :class:`GramAggregator` if the result is a weighted
  sum of rows whose weights follow from distances and inner products, from :class:`CoordinateWise` if every column is
  treated on its own, and from :class:`Aggregator` itself in all other cases.
* :class:`PreAggregation` turns updates into updates, and ``>>`` puts it in front of a rule (as a :class:`Pipeline`) or
  of another pre-aggregation (as a :class:`Chain`). Most are a :class:`RowMap`.
* :class:`ClientSide` is a pre-aggregation that clients carry out before they send anything.
* :class:`Grouping` says which arrays of an update belong together; the rule behind it decides about each group.
* :class:`Defense` is what all of them have in common.

A rule meets these values:

* :class:`Rows` are the updates that a rule works on; :class:`Gram` holds the inner products between them, and
  :class:`Grams` those of many sets of rows, for rules that are asked about all neighbourhoods of peers at once.
* :class:`Outcome` is what a rule returns to its base class, and :class:`Aggregation` the full answer of
  ``aggregator.aggregate(updates)`` to the caller.
* :class:`ColumnBlocks` holds updates that are larger than memory.
* How far one row can move an answer, which is what noise for privacy has to cover, is the subject of
  :mod:`~robustfl.aggregation.sensitivity`: a rule overrides `moved`, a pre-aggregation `carried`.

The rooms below: :mod:`~robustfl.aggregation.updates` reads the update matrix, :mod:`~robustfl.aggregation.kernels` does
the arithmetic, and :mod:`~robustfl.aggregation.votes` counts rankings. :mod:`~robustfl.aggregation.predictions` asks
rules for updates about predictions. :mod:`~robustfl.aggregation.sharded` aggregates over the processes of
torch.distributed.
"""

from robustfl.aggregation.client_side import ClientSide
from robustfl.aggregation.contracts import Aggregator, Chain, Pipeline, PreAggregation
from robustfl.aggregation.defense import Aggregation, Defense, Outcome
from robustfl.aggregation.families import CoordinateWise, GramAggregator, RowMap
from robustfl.aggregation.layers import Grouping, Layered
from robustfl.aggregation.mechanisms import Mechanism, Protected
from robustfl.aggregation.protection import AdaptiveClip, Protection
from robustfl.aggregation.updates.gram import Gram
from robustfl.aggregation.updates.grams import Grams
from robustfl.aggregation.updates.readers import ColumnBlocks
from robustfl.aggregation.updates.rows import Rows

__all__ = [
    "AdaptiveClip",
    "Aggregation",
    "Aggregator",
    "Chain",
    "ClientSide",
    "ColumnBlocks",
    "CoordinateWise",
    "Defense",
    "Gram",
    "GramAggregator",
    "Grams",
    "Grouping",
    "Layered",
    "Mechanism",
    "Outcome",
    "Pipeline",
    "PreAggregation",
    "Protected",
    "Protection",
    "RowMap",
    "Rows",
]
