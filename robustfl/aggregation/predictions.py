"""Predictions in place of updates: what clients believe of public samples, behind any rule for updates.

A client's predictions are probabilities [m, C]: for each of m samples that everybody has, a distribution over C
classes. They need no common model, and no model can be read from them. A rule for updates sees each client's
predictions as one row whose origin is ignorance: 1/C is subtracted from every probability. A rule that shrinks rows or
gives less than all of its weight therefore moves an answer towards the uniform distribution, the length of a row is
the confidence of a client, and a negative row is the belief turned round.

>>> import numpy as np
>>> from robustfl.aggregation.predictions import aggregate_predictions
>>> from robustfl.defenses import Median
>>> sure, unsure, wrong = [[0.9, 0.1]], [[0.6, 0.4]], [[0.0, 1.0]]
>>> aggregate_predictions(Median(), np.array([sure, unsure, wrong])).value.round(3).tolist()
[[0.6, 0.4]]
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustfl.aggregation.contracts import Aggregator
from robustfl.aggregation.defense import Aggregation
from robustfl.aggregation.hostile import Hostile, judge
from robustfl.errors import UpdatesError

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-3
"""How far the probabilities of a sample may sum to something other than 1: float16 rounds by less with 100 classes."""


def nearest_distributions(values: Tensor) -> Tensor:
    """The distributions [..., C] that are nearest to finite values [..., C], by Euclidean distance.

    Formula: ``p_c = max(v_c - tau, 0)`` with the tau for which the sum over c is 1. The order of the classes stays, and
    so do the differences between all classes that keep a probability. Values that are distributions stay as they are,
    up to rounding. Cost: C log C for each distribution, and memory for four copies of the values.

    Reference: J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra. Efficient Projections onto the l1-Ball for Learning
    in High Dimensions. ICML 2008.

    >>> import torch
    >>> nearest_distributions(torch.tensor([[0.75, 0.5, 0.0], [3.0, 0.0, -1.0]])).tolist()
    [[0.625, 0.375, 0.0], [1.0, 0.0, 0.0]]
    """
    import torch

    classes = values.shape[-1]
    # The largest value is subtracted first, as huge values would swallow the 1 that is to be distributed.
    centred = values - values.amax(dim=-1, keepdim=True)
    ordered = centred.sort(dim=-1, descending=True).values
    numbers = torch.arange(1, classes + 1, dtype=values.dtype, device=values.device)
    thresholds = (ordered.cumsum(dim=-1) - 1) / numbers
    support = (ordered > thresholds).sum(dim=-1, keepdim=True)
    found: Tensor = (centred - thresholds.gather(-1, support - 1)).clamp_(min=0.0)
    return found.div_(found.sum(dim=-1, keepdim=True))


def refused_predictions(predictions: Tensor) -> dict[int, str]:
    """The reasons why rows of predictions [n, m, C] are no predictions, by row; sound rows are not in it.

    A client's predictions count only if all m are distributions: finite, not negative, and of sum 1 up to
    :data:`TOLERANCE`. Whoever could send other numbers would have more than one vote.

    Cost: one pass over the predictions.

    >>> import torch
    >>> refused_predictions(torch.tensor([[[0.5, 0.5]], [[1.5, -0.5]], [[2.0, 2.0]], [[float("nan"), 1.0]]]))
    {1: 'negative probability', 2: 'probabilities of sum 4 (not 1)', 3: 'not finite'}
    """
    reasons: dict[int, str] = {}
    sums = predictions.sum(dim=-1)
    off = (sums - 1).abs().amax(dim=-1)
    negative = predictions.amin(dim=(-2, -1)) < 0
    suspects = ~(off <= TOLERANCE) | negative  # a sum that is not finite is never small
    for row in np.flatnonzero(suspects.cpu().numpy()).tolist():
        if not bool(predictions[row].isfinite().all()):
            reasons[row] = "not finite"
        elif bool(negative[row]):
            reasons[row] = "negative probability"
        else:
            worst = sums[row][(sums[row] - 1).abs().argmax()]
            reasons[row] = f"probabilities of sum {float(worst):.4g} (not 1)"
    return reasons


def aggregate_predictions(
    rule: Aggregator,
    predictions: Any,
    *,
    ids: Iterable[Hashable] | None = None,
    hostile: Hostile = "reject",
    trusted: Any = None,
    preview: bool = False,
) -> Aggregation:
    """What a rule for updates makes of the predictions [n, m, C] of n clients: an answer whose value is [m, C].

    Formula: the distributions nearest to ``1/C + rule(p_1 - 1/C, ..., p_n - 1/C)``. With the rule `Mean` this is the
    consensus of FedMD.

    Parameters
    ----------
    rule : an aggregator or pipeline for updates; its precondition, guarantee and memory are those of the rule
    predictions : [n, m, C], C >= 2, probabilities of floating-point type, a numpy array or a torch tensor; never
        changed
    ids : the clients' ids, one a row
    hostile : what happens to rows that are refused, see :meth:`~robustfl.aggregation.Aggregator.aggregate`. In addition
        to the rows that are refused there, rows that are no distributions are refused, see
        :func:`refused_predictions`
    trusted : predictions [m, C] of the server's own, for rules that want them
    preview : whether the rule only says what it would answer, without any effect on its memory

    Returns the answer: `value` [m, C] are distributions, in the type of the predictions, and `info["reasons"]` says why
    rows were refused.

    Cost: that of the rule in m C dimensions, and one more pass over the predictions.

    Raises
    ------
    UpdatesError : the predictions are not of shape [n, m, C], or as the rule says
    InfeasibleError, ExceededError : as the rule says

    References
    ----------
    D. Li, J. Wang. FedMD: Heterogenous Federated Learning via Model Distillation. NeurIPS 2019 workshop on federated
    learning (with scores in place of probabilities, and the mean).
    """
    import torch

    given = predictions if isinstance(predictions, torch.Tensor) else torch.as_tensor(np.array(predictions))
    if given.ndim != 3 or given.shape[2] < 2 or not given.numel() or not given.is_floating_point():
        raise UpdatesError(
            "`predictions` should be probabilities [n, m, C] of n clients for m samples and C >= 2 classes. Found "
            f"{given.dtype} {list(given.shape)}."
        )
    reasons = refused_predictions(given)
    level = 1.0 / given.shape[2]
    rows = given - level
    if reasons:
        rows[list(reasons)] = torch.nan  # the rule then leaves them out, as it does with all that is not finite
    asked = rule.preview if preview else rule.aggregate
    more = {} if trusted is None else {"trusted": torch.as_tensor(trusted).to(given) - level}
    names = None if ids is None else tuple(ids)
    if hostile == "raise":
        judge(rule, names or tuple(range(len(given))), reasons, hostile)
    answer = asked(rows, ids=names, hostile=hostile, **more)
    value = nearest_distributions(answer.value + level)
    told = {**answer.info, "reasons": {row: reasons.get(row, why) for row, why in answer.info["reasons"].items()}}
    return replace(answer, value=value if isinstance(predictions, torch.Tensor) else value.numpy(), info=told)
