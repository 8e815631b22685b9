"""One process of a group: every rule of the table, sharded, against the same rule on the whole matrix.

Started by `test_sharded.py` as `python -m tests.aggregation.sharded_worker RANK SIZE STORE`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.distributed as dist

from robustfl.aggregation import CoordinateWise
from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.sharded import Shard, exchange, robust_all_reduce
from robustfl.defenses import NNM, CenteredClipping, Clipping, FLTrust, Krum, Mean, Median, MoNNA, TrimmedMean
from robustfl.errors import InfeasibleError, RobustflError, StateError, UpdatesError
from tests.aggregation.cases import RULES, gaussian


def every_rule_equals_itself_on_the_whole_matrix(rank: int, size: int) -> int:
    compared = 0
    for case in RULES:
        for f in (0, 1):
            rule, whole = case.make(f), case.make(f)
            if rule.infeasible(size) is not None:
                continue
            for number, d in enumerate((1, size - 1, 10, 5003)):
                x = gaussian(number, size, d).astype(np.float64 if d % 2 else np.float32)
                rule.reset(), whole.reset()
                found = robust_all_reduce(torch.as_tensor(x[rank]), rule)
                np.testing.assert_allclose(found.numpy(), whole(x), rtol=0, atol=1e-4, err_msg=case.name)
                assert agreed(found), f"{case.name}: the processes differ"
                compared += 1
    return compared


def agreed(tensor: torch.Tensor) -> bool:
    """Whether all processes hold the same bits."""
    rows = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, tensor)
    return all(torch.equal(row, tensor) for row in rows)


def a_lying_process_is_rejected_everywhere(rank: int, size: int) -> None:
    x = gaussian(5, size, 301).astype(np.float32)
    for hole in (np.nan, np.inf, -1e38):
        x[1, 300] = hole  # the last process is the only one that sees it
        shard = exchange(torch.as_tensor(x[rank]))
        answer = Krum(f=1, neighbours="n-f-1").aggregate(shard)
        assert np.flatnonzero(answer.rejected).tolist() == [1]
        whole = Krum(f=1, neighbours="n-f-1")(x)
        own = slice(shard.offset, shard.offset + shard.d)
        np.testing.assert_allclose(answer.value.numpy(), whole[own], rtol=0, atol=1e-6)
        assert not np.array_equal(answer.value.numpy(), x[1, own])


def the_full_answer_says_who_counted(rank: int, size: int) -> None:
    x = gaussian(6, size, 301).astype(np.float32)
    x[2, 300] = np.nan  # only the last process sees it
    for rule in (NNM(f=1) >> Mean(), Median()):
        answer = robust_all_reduce(torch.as_tensor(x[rank]), rule, full=True)
        whole = rule.aggregate(x)
        assert torch.equal(answer.value, robust_all_reduce(torch.as_tensor(x[rank]), rule))
        assert agreed(answer.value)
        assert np.flatnonzero(answer.rejected).tolist() == [2]
        assert answer.info["reasons"] == {2: "not finite"}
        assert (answer.weights is None) == (whole.weights is None)
        if answer.weights is not None:
            np.testing.assert_allclose(answer.weights, whole.weights, rtol=0, atol=1e-6)
            assert agreed(torch.as_tensor(answer.weights))


def errors_are_the_same_everywhere(rank: int, size: int) -> None:
    for rule, update, error in (
        (TrimmedMean(f=size), torch.ones(5), InfeasibleError),
        (Mean(), torch.full((5,), torch.nan), InfeasibleError),
        (Mean(), torch.ones(5, dtype=torch.int64), UpdatesError),
        (Mean(), torch.ones(0), UpdatesError),
    ):
        try:
            robust_all_reduce(update, rule)
        except error:
            continue
        raise AssertionError(f"{rule} accepted {update}")


def trusted_updates_may_leave_processes_without_columns(rank: int, size: int) -> None:
    for d in (1, size - 1, size + 2, 301):  # on some of them a process holds no column
        x = gaussian(d, size, d).astype(np.float32)
        trusted = x.mean(axis=0)
        for make in (FLTrust, MoNNA):
            rule = make() if make is FLTrust else make(f=1)
            found = robust_all_reduce(torch.as_tensor(x[rank]), rule, trusted=torch.as_tensor(trusted))
            np.testing.assert_allclose(found.numpy(), rule(x, trusted=trusted), rtol=0, atol=1e-5)
            assert agreed(found)


@dataclass(frozen=True, kw_only=True)
class Stumbles(CoordinateWise):
    """A median whose work fails on one process only, with an error of one kind or another."""

    requires: ClassVar[tuple[int, int]] = (0, 1)
    fails: bool
    error: type

    def columns(self, block: Array, ops: Kernels) -> Array:
        if self.fails:
            raise self.error("on purpose")
        return ops.median(block)


def what_one_process_raises_all_processes_raise(rank: int, size: int) -> None:
    fine, last = torch.ones(2 * size + 3), rank == size - 1
    wrong: list[tuple[Any, Any, type[Exception]]] = [
        (lambda: (fine.long() if last else fine, Mean()), {}, UpdatesError),
        (lambda: (torch.ones(0) if last else fine, Mean()), {}, UpdatesError),
        (lambda: (fine[1:] if last else fine, Mean()), {}, UpdatesError),
        (lambda: (fine.double() if last else fine, Mean()), {}, UpdatesError),
        (lambda: (fine, FLTrust()), {"trusted": fine[1:] if last else fine}, UpdatesError),
        (lambda: (fine, FLTrust()), {"trusted": None if last else fine}, UpdatesError),
        (lambda: (fine, FLTrust()), {"trusted": fine[1:]}, UpdatesError),
        (
            lambda: (fine, FLTrust()),
            {"trusted": torch.where(torch.arange(len(fine)) > 0, 1.0, torch.nan)},
            UpdatesError,
        ),
        (lambda: (fine, Stumbles(fails=last, error=StateError)), {}, StateError),
        (lambda: (fine, Stumbles(fails=rank == 1, error=InfeasibleError)), {}, InfeasibleError),
        (lambda: (fine, Clipping() >> Stumbles(fails=rank == 0, error=UpdatesError)), {}, UpdatesError),
    ]
    for make, parts, error in wrong:
        update, rule = make()
        with pytest.raises(error) as raised:
            robust_all_reduce(update, rule, **parts)
        assert type(raised.value) is error
    kept = ZeroDivisionError if last else RobustflError  # an error of another kind keeps it where it happens
    with pytest.raises(kept) as raised:
        robust_all_reduce(fine, Stumbles(fails=last, error=ZeroDivisionError))
    assert type(raised.value) is kept
    assert torch.equal(robust_all_reduce(fine, Stumbles(fails=False, error=ZeroDivisionError)), fine)


def a_memory_of_another_size_is_an_error_everywhere(rank: int, size: int) -> None:
    rule = CenteredClipping(radius=0.5)
    robust_all_reduce(torch.ones(size + 2), rule)  # the last process but one holds one column, the last one none
    saved = rule.state_dict()
    with pytest.raises(StateError):
        robust_all_reduce(torch.ones(size + 3), rule)
    assert np.array_equal(rule.state_dict()["center"], saved["center"])


def shapes_types_and_memories_are_kept(rank: int, size: int) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        value = robust_all_reduce(torch.full((3, 2, 5), float(rank), dtype=dtype, requires_grad=True), Median())
        assert (value.shape, value.dtype, value.requires_grad) == ((3, 2, 5), dtype, False)
        assert (value == (size - 1) / 2).all()
    rule, whole = CenteredClipping(radius=0.5), CenteredClipping(radius=0.5)
    for number in range(3):
        x = gaussian(number, size, 40)
        np.testing.assert_allclose(robust_all_reduce(torch.as_tensor(x[rank]), rule).numpy(), whole(x), atol=1e-9)
    assert isinstance(exchange(torch.ones(2)), Shard)


if __name__ == "__main__":
    rank, size = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=size)
    compared = every_rule_equals_itself_on_the_whole_matrix(rank, size)
    a_lying_process_is_rejected_everywhere(rank, size)
    the_full_answer_says_who_counted(rank, size)
    errors_are_the_same_everywhere(rank, size)
    trusted_updates_may_leave_processes_without_columns(rank, size)
    what_one_process_raises_all_processes_raise(rank, size)
    a_memory_of_another_size_is_an_error_everywhere(rank, size)
    shapes_types_and_memories_are_kept(rank, size)
    dist.destroy_process_group()
    sys.stdout.write(f"compared {compared}\n")
