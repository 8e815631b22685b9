"""The versions of every kernel give the same results, on whatever device there is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation.kernels.base import column_blocks, is_tensor
from robustfl.aggregation.kernels.choice import kernels_for
from robustfl.aggregation.kernels.device import Device
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.updates.readers import Dense
from robustfl.aggregation.updates.rows import Rows
from robustfl.aggregation.updates.source import HostileRows, Source
from robustfl.defenses import NNM, CenteredClipping, Krum, Median, TrimmedMean
from tests.aggregation.cases import Case, each_rule, gaussian

no_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, no_cuda])])
types = pytest.mark.parametrize("dtype", ["float32", "float64"])


def on(device: str, x: Any) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(x)).to(device)


def host(value: Any) -> Any:
    return value.cpu().numpy() if is_tensor(value) else value


def tolerance(dtype: str) -> float:
    return 1e-5 if dtype == "float32" else 1e-12


@devices
@types
@pytest.mark.parametrize("n", [1, 6, 7])
@pytest.mark.parametrize("d", [1, 5, 4003])
def test_the_device_agrees_with_the_host(device: str, dtype: str, n: int, d: int) -> None:
    x = gaussian(n, n, d).astype(dtype)
    far = np.stack([x[0] * 2])
    tensor, atol = on(device, x), tolerance(dtype)
    ours, theirs = Host(), Device(device)
    for found, expected in zip(theirs.row_extent(tensor), ours.row_extent(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    expected = ours.centred_gram(x, x[n // 2], far)
    found = theirs.centred_gram(tensor, tensor[n // 2], on(device, far))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert found.dtype == np.float64
    weights = gaussian(1, 3, n)
    np.testing.assert_allclose(host(theirs.combine(weights, tensor)), ours.combine(weights, x), atol=20 * atol)
    np.testing.assert_allclose(host(theirs.combine(weights[0], tensor)), ours.combine(weights[0], x), atol=20 * atol)
    np.testing.assert_allclose(host(theirs.median(tensor)), ours.median(x), atol=atol)
    for f in range((n + 1) // 2):
        np.testing.assert_allclose(host(theirs.trimmed_mean(tensor, f)), ours.trimmed_mean(x, f), atol=atol)
        exact = host(theirs.trimmed_mean(tensor, f, exact=True))
        np.testing.assert_allclose(exact, ours.trimmed_mean(x, f, exact=True), rtol=1e-12, atol=1e-13)
        assert exact.dtype == np.float64
    middle = ours.median(x, exact=True)
    np.testing.assert_array_equal(host(theirs.median(tensor, exact=True)), middle)
    assert middle.dtype == np.float64
    for count in range(1, n + 1):
        near = ours.mean_around(x, x[0] / 2, count)
        np.testing.assert_allclose(host(theirs.mean_around(tensor, tensor[0] / 2, count)), near, atol=atol)
    np.testing.assert_array_equal(host(theirs.sign_sum(tensor)), ours.sign_sum(x))
    np.testing.assert_array_equal(host(theirs.stack([tensor[0], tensor[-1]])), ours.stack([x[0], x[-1]]))
    np.testing.assert_array_equal(host(theirs.place(x[0], dtype)), ours.place(tensor[0], dtype))
    room = theirs.empty((2, 4), dtype)
    assert (tuple(room.shape), room.dtype, room.device.type) == ((2, 4), tensor.dtype, device)


@devices
@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen_in_every_block(device: str, hole: float) -> None:
    for column in (0, 20_000, 40_002):
        x = gaussian(0, 3, 40_003)
        x[1, column] = hole
        for kernels, matrix in ((Host(), x), (Device(device), on(device, x))):
            peak, _ = kernels.row_extent(matrix)
            assert np.isfinite(peak).tolist() == [True, False, True]
            assert [kernels.is_finite(row) for row in matrix] == [True, False, True]
        source = Source(Dense(x, "float64"), (0, 1, 2))
        with pytest.raises(HostileRows, match="not finite"):
            source.verify()
        assert source.without({1: ""}).squared_norms == pytest.approx((x[[0, 2]] ** 2).sum(axis=1))


@devices
def test_extents_do_not_overflow_in_single_precision(device: str) -> None:
    x = np.full((2, 10), 1e30, dtype=np.float32)
    for kernels, matrix in ((Host(), x), (Device(device), on(device, x))):
        peak, square = kernels.row_extent(matrix)
        np.testing.assert_allclose(peak, 1e30, rtol=1e-6)
        np.testing.assert_allclose(square, 1e61, rtol=1e-6)


@devices
@types
@each_rule
def test_every_rule_gives_the_hosts_result_on_a_tensor(device: str, dtype: str, case: Case) -> None:
    x = gaussian(3, case.least(2) + 3, 300).astype(dtype)
    x[1, 7] = np.nan
    tensor = on(device, x)
    found, expected = case.make(2).aggregate(tensor), case.make(2).aggregate(x)
    assert isinstance(found.value, torch.Tensor)
    assert (found.value.device.type, found.value.dtype) == (tensor.device.type, tensor.dtype)
    np.testing.assert_allclose(host(found.value), expected.value, rtol=0, atol=20 * max(tolerance(dtype), 1e-8))
    np.testing.assert_array_equal(found.rejected, expected.rejected)


class OnDevice(Dense):
    """A tensor that is treated as an accelerator's, wherever it is, and read in three blocks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.device = str(self.matrix.device) if is_tensor(self.matrix) else None

    def pieces(self, rows: Any, size: int) -> Any:
        for columns in column_blocks(self.d, -(-self.d // 3)):
            yield columns, lambda columns=columns: self.matrix[:, columns]


@pytest.fixture
def everything_on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that a stage makes anew are a tensor too, which on the CPU would be mistaken for the host's."""
    monkeypatch.setattr("robustfl.aggregation.updates.source.Dense", OnDevice)


def outcome_on_device(rule: Any, tensor: torch.Tensor) -> Any:
    source = Source(OnDevice(tensor, str(tensor.dtype).removeprefix("torch.")), tuple(range(len(tensor))))
    source.extras.extend(rule.extra_points(source))
    assert isinstance(source.kernels, Device)
    return rule._aggregate(Rows(source))


@devices
@each_rule
@pytest.mark.usefixtures("everything_on_device")
def test_every_rule_runs_on_the_devices_own_operations(device: str, case: Case) -> None:
    x = gaussian(4, case.least(2) + 3, 300)
    outcome = outcome_on_device(case.make(2), on(device, x))
    assert outcome.value.device.type == device
    np.testing.assert_allclose(host(outcome.value), case.make(2)(x), rtol=0, atol=20 * case.tolerance)


@devices
@each_rule
@pytest.mark.usefixtures("everything_on_device")
def test_no_rule_takes_the_matrix_to_the_host(device: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def recorded(method: Any) -> Any:
        def record(tensor: torch.Tensor, *arguments: Any, **options: Any) -> Any:
            taken.append(tensor.numel())
            return method(tensor, *arguments, **options)

        return record

    rule, tensor = case.make(2), on(device, gaussian(4, case.least(2) + 3, 3000))
    with monkeypatch.context() as patch:
        for name in ("cpu", "numpy", "tolist", "__array__"):
            patch.setattr(torch.Tensor, name, recorded(getattr(torch.Tensor, name)))
        outcome_on_device(rule, tensor)
    assert sum(taken) < tensor.numel() / 10


@devices
def test_a_memory_on_a_device_continues_there(device: str) -> None:
    ours, theirs = (NNM(f=1) >> CenteredClipping(radius=0.3) for _ in range(2))
    for number in range(3):
        x = gaussian(number, 7, 40)
        np.testing.assert_allclose(host(theirs(on(device, x))), ours(x), atol=1e-10)


@devices
def test_a_memory_follows_the_updates_to_another_device(device: str) -> None:
    rule, twin = CenteredClipping(radius=0.3), CenteredClipping(radius=0.3)
    x, y, z = (gaussian(number, 7, 40) for number in range(3))
    rule(x), twin(x)
    np.testing.assert_allclose(host(rule(on(device, y))), twin(y), atol=1e-10)
    np.testing.assert_allclose(rule(z), twin(z), atol=1e-10)


@no_cuda
@pytest.mark.cuda
def test_reduced_precision_of_matrix_products_does_not_reach_the_result() -> None:
    x = gaussian(1, 20, 4096).astype(np.float32)
    tensor = on("cuda", x)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = Device("cuda").combine(gaussian(2, 20, 20), tensor)
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(host(found), Host().combine(gaussian(2, 20, 20), x), atol=1e-4)


@no_cuda
@pytest.mark.cuda
@pytest.mark.parametrize("rule", [Median(), TrimmedMean(f=20), Krum(f=20)], ids=str)
def test_extra_memory_on_a_gpu_is_a_small_part_of_the_input(rule: Any) -> None:
    x = torch.randn((100, 4_000_000), device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    rule(x[:, :256])
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    rule(x)
    assert torch.cuda.max_memory_allocated() - before <= 0.1 * x.numel() * x.element_size()


def test_blocks_cover_every_column_once() -> None:
    for columns in (1, 99, 100, 101, 300):
        covered = [index for block in column_blocks(columns, 100) for index in range(block.start, block.stop)]
        assert covered == list(range(columns))


def test_arrays_stay_on_the_host_and_torch_is_not_loaded_for_them() -> None:
    assert isinstance(kernels_for(None, 1), Host)
    assert isinstance(kernels_for("cuda", 1), Device)
    code = "import sys, robustfl.defenses as d; d.Krum(f=0)([[1.0], [1.1], [3.0]]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
