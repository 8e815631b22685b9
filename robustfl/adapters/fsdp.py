"""A rule in place of the mean in torch's FSDP2: every sharded module decides about its own gradients.

>>> from torch.distributed.fsdp import fully_shard
>>> from robustfl.adapters.fsdp import register
>>> for layer in model.layers:  # doctest: +SKIP
...     fully_shard(layer)
>>> fully_shard(model)  # doctest: +SKIP
>>> robust = register(model, "TrimmedMean(f=1)")  # doctest: +SKIP

FSDP2 reduces the gradients of each module that was given to ``fully_shard`` in a call of its own, and frees them at
once. **A decision over the whole gradient is therefore not possible there**: a rule that picks rows may pick other
processes in each module, and a process that is refused in one module still counts in the others. Rules that decide
column by column (Median, TrimmedMean, Mean) lose nothing by that, apart from refusals of NaN.

What a robust reduce-scatter protects against, and what not, is told in :mod:`robustfl.adapters.ddp`; it is the same.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.fsdp
from torch import Tensor, nn

from robustfl.adapters.ddp import fit_rule
from robustfl.aggregation import Aggregation, Aggregator
from robustfl.aggregation.sharded import exchange
from robustfl.errors import MissingExtraError, ParameterError


class RobustReduceScatter:
    """Reduces the gradients of one module with a rule; see :func:`register`.

    Attributes
    ----------
    rule : the module's own copy of the rule
    last : the last answer; its value is this process's share. None before the first step
    refused : process -> why its gradient was refused in the last step
    refusals : how many steps each process was refused in
    """

    def __init__(self, rule: Aggregator) -> None:
        self.rule = rule
        self.last: Aggregation | None = None
        self.refused: dict[int, str] = {}
        self.refusals: Counter[int] = Counter()

    def allocate(self, size: Sequence[int | torch.SymInt], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Memory for a gradient or its share."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: dist.ProcessGroup,
        op: Any,
        async_op: bool = False,
    ) -> None:
        """Write this process's share of the answer for [n, share] gradients; `op` says how the mean would be made."""
        summed = op == dist.ReduceOp.SUM  # the caller divides before and after
        if not summed and op != dist.ReduceOp.AVG:
            raise ParameterError(
                f"A rule replaces the mean of gradients. Found the operation {op}: set no divide factor."
            )
        answer = self.rule.aggregate(exchange(input_tensor, group))
        output_tensor.copy_(answer.value * (dist.get_world_size(group) if summed else 1))
        self.last = answer
        self.refused = {int(row): reason for row, reason in answer.info["reasons"].items()}
        self.refusals.update(self.refused.keys())


def register(model: nn.Module, rule: Aggregator | str) -> dict[str, RobustReduceScatter]:
    """Let a rule decide what the gradients of an FSDP2 model are, in place of the mean over processes.

    Guarantee: that of the rule for each sharded module alone, with one row for each process; see the documentation of
    the module for what cannot be decided that way. With `Mean`, gradients are those of FSDP2 but for rounding.

    Cost: bytes of a reduce-scatter; the exchange waits, and does not overlap with the backward pass.

    Parameters
    ----------
    model : a model to which ``fully_shard`` was applied, on one mesh of one dimension
    rule : an aggregator or pipeline, or a text such as ``"TrimmedMean(f=1)"``; every sharded module gets a copy, so
        that rules with a memory remember each module for itself

    Returns
    -------
    What reduces the gradients of each sharded module, by the name of the module (an empty text for the model itself).

    Raises
    ------
    ParameterError : nothing in the model is sharded, it is sharded over a mesh of several dimensions, or the rule does
        not decide about gradients alone
    InfeasibleError : there are too few processes for the rule
    MissingExtraError : this version of torch has no FSDP2, or one whose reduce-scatter cannot be replaced
    """
    kind: Any = getattr(torch.distributed.fsdp, "FSDPModule", None)
    if not hasattr(kind, "set_custom_reduce_scatter"):
        raise MissingExtraError(
            f"FSDP2 with a reduce-scatter of one's own needs torch 2.9 or later. Found {torch.__version__}."
        )
    sharded: dict[str, Any] = {name: module for name, module in model.named_modules() if isinstance(module, kind)}
    if not sharded:
        raise ParameterError("`model` should be sharded. Found no module to which `fully_shard` was applied.")
    found = {}
    for name, module in sharded.items():
        sizes = {parameter.device_mesh.shape for parameter in module.parameters() if hasattr(parameter, "device_mesh")}
        if any(len(size) != 1 for size in sizes):
            raise ParameterError(
                f"`model` should be sharded over a mesh of one dimension. Found {sorted(sizes)} in "
                f"{name or 'the model itself'}."
            )
        world = max((size[0] for size in sizes), default=dist.get_world_size())
        found[name] = RobustReduceScatter(copy.deepcopy(fit_rule(rule, world)))
    for name, module in sharded.items():
        module.set_custom_reduce_scatter(found[name])
    return found


__all__ = ["RobustReduceScatter", "register"]
