"""The Triton kernels give the host's results: in the interpreter everywhere, and on a GPU where there is one.

What no run without a GPU can show is shown by the compiler: that the code for it exists, and keeps to its registers.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation.kernels.device import Device, has_triton
from robustfl.aggregation.kernels.host import Host
from tests.aggregation.triton_cases import SAMPLES, Sample, expected, found
from tests.conftest import ROOT

with_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
with_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The answers of the kernels in a process of its own, because Triton reads the variable when it is imported."""
    path = tmp_path_factory.mktemp("triton") / "answers.npz"
    run = [sys.executable, "-m", "tests.aggregation.triton_cases", str(path)]
    subprocess.run(run, check=True, env={**os.environ, "TRITON_INTERPRET": "1"}, cwd=ROOT)
    with np.load(path) as answers:
        return dict(answers)


@pytest.mark.slow
@with_triton
@each_sample
def test_interpreted_kernels_agree_with_the_host(sample: Sample, interpreted: dict[str, Any]) -> None:
    prefix = f"{sample.name} "
    compare({name.removeprefix(prefix): v for name, v in interpreted.items() if name.startswith(prefix)}, sample)


@pytest.mark.cuda
@with_cuda
@with_triton
@each_sample
def test_kernels_on_a_gpu_agree_with_the_host(sample: Sample) -> None:
    compare(found(sample, "cuda"), sample)


def compare(answers: dict[str, Any], sample: Sample) -> None:
    """Order statistics and float32 results to the last bit; float64 sums up to the order of their terms."""
    wanted = expected(sample)
    assert answers.keys() == wanted.keys()
    for name, value in wanted.items():
        assert answers[name].dtype == value.dtype
        sums = name == "square" or name.startswith("exact trimmed")
        exact = name in ("median", "exact median", "peak") or (sample.dtype == "float32" and not sums)
        np.testing.assert_allclose(answers[name], value, rtol=0 if exact else 1e-12, err_msg=name)


@pytest.mark.slow
@with_triton
def test_rules_on_a_device_run_on_interpreted_kernels() -> None:
    """The seam: blocks of a device reach the kernels, with the arguments in their places."""
    rules = "own_operations and (median or trimmed or krum or mean) and not nnm"
    selected = f"({rules} or not_finite or overflow) and not cuda"
    run = [sys.executable, "-m", "pytest", "-q", "-p", "tests.aggregation.triton_everywhere", "-k", selected]
    path = str(Path(__file__).with_name("test_kernels.py"))
    done = subprocess.run(
        [*run, path], env={**os.environ, "TRITON_INTERPRET": "1"}, cwd=ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"launches: (\d+)", done.stdout)[0]) > 100
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 5


@with_triton
@pytest.mark.parametrize("kernel", ["median_kernel", "trimmed_mean_kernel", "mean_around_kernel"])
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize(("n", "capability"), [(20, 90), (100, 80), (100, 90), (256, 90), (1024, 90)])
def test_tiles_fit_into_the_registers_of_a_gpu(
    kernel: str, dtype: str, n: int, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    registers, stack = resources(compiled_for(kernel, dtype, n, capability), tmp_path)
    assert stack == 0, "registers spill to memory"
    assert registers * 32 * tile(kernel, dtype, n)[2] <= 65536, "no multiprocessor can run the program"


def tile(kernel: str, dtype: str, n: int) -> tuple[int, int, int]:
    from robustfl.aggregation.kernels.triton_order import tile_shape

    return tile_shape(n, dtype == "fp64" or kernel == "mean_around_kernel")


def compiled_for(kernel: str, dtype: str, n: int, capability: int) -> bytes:
    """Machine code of a kernel for contiguous rows of any length, as it is launched; needs no device."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from robustfl.aggregation.kernels import triton_order

    function = getattr(triton_order, kernel)
    rows, columns, warps = tile(kernel, dtype, n)
    constants = {"column_stride": 1, "EVEN": True, "ROWS": rows, "COLUMNS": columns}
    pointers = {"block": f"*{dtype}", "out": f"*{dtype}", "centre": "*fp64"}  # of float64, as rules give centres
    types = pointers | dict.fromkeys(("n", "columns", "row_stride"), "i32") | dict.fromkeys(constants, "constexpr")
    names = function.arg_names
    source = ASTSource(
        function,
        {name: types.get(name, "fp32") for name in names},
        {(names.index(name),): value for name, value in constants.items() if name in names},
        {(names.index(name),): [["tt.divisibility", 16]] for name in pointers if name in names},
    )
    options = {"num_warps": warps, "enable_fp_fusion": False}
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return bytes(made.asm["cubin"])


def resources(code: bytes, folder: Path) -> tuple[int, int]:
    """Registers of a thread and bytes of its stack, which is where spills go, by the tool that comes with Triton."""
    import triton

    path = folder / "kernel.cubin"
    path.write_bytes(code)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    report = subprocess.run([tool, "-res-usage", path], check=True, capture_output=True, text=True).stdout
    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", report)[0]
    return int(registers), int(stack)


@with_triton
def test_a_tile_holds_whole_columns_and_no_more_than_its_threads_can() -> None:
    from robustfl.aggregation.kernels.triton_order import MOST_ROWS, tile_shape

    for n in range(1, MOST_ROWS + 1):
        for double, held in ((False, 64), (True, 32)):
            rows, columns, warps = tile_shape(n, double)
            assert n <= rows < 2 * n
            assert 8 <= columns <= 32
            assert rows * columns <= held * 32 * warps
            assert warps <= 32


@with_triton
@pytest.mark.parametrize("n", [1024, 1025])
def test_columns_that_no_program_can_hold_are_sorted(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from robustfl.aggregation.kernels import torch_order as selection
    from robustfl.aggregation.kernels import triton_order

    monkeypatch.setattr(Device, "compiled", True)
    assert Device("cuda")._order(n) is (triton_order if n == 1024 else selection)


def test_triton_is_used_from_a_tested_version_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)  # what the import statement takes for a missing module
    assert not has_triton.__wrapped__()
    for version, usable in (("2.2.0", False), ("3.1.0", False), ("3.2.0+git1", True), ("4.0", True)):
        monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__=version))
        assert has_triton.__wrapped__() is usable


def test_without_a_gpu_nothing_is_left_to_triton() -> None:
    assert not Device("cpu").compiled
    assert not Device("mps").compiled


def test_pieces_of_a_block_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from robustfl.aggregation.kernels import device
    from robustfl.aggregation.kernels import torch_order as selection

    x = np.random.default_rng(0).normal(size=(7, 1003)).astype(np.float32)
    x[:, 5] = 1
    monkeypatch.setattr(selection, "PIECE", 7 * 100)
    monkeypatch.setattr(device, "PIECE", 7 * 64)
    tensor, theirs, ours = torch.as_tensor(x), Device("cpu"), Host()
    np.testing.assert_array_equal(theirs.median(tensor), ours.median(x))
    np.testing.assert_array_equal(theirs.trimmed_mean(tensor, 2), ours.trimmed_mean(x, 2))
    np.testing.assert_array_equal(theirs.mean_around(tensor, tensor[3], 4), ours.mean_around(x, x[3], 4))
    np.testing.assert_array_equal(theirs.sign_sum(tensor), ours.sign_sum(x))
    np.testing.assert_array_equal(theirs.sign_counts(tensor), ours.sign_counts(x))
    np.testing.assert_allclose(theirs.inner(tensor, tensor[2]), ours.inner(x, x[2]), rtol=1e-12)
    np.testing.assert_allclose(theirs.row_extent(tensor), ours.row_extent(x), rtol=1e-12)
    extras = np.stack([x[1] * 2, x[4] - 1])
    gram = theirs.centred_gram(tensor, tensor[0], torch.as_tensor(extras))
    np.testing.assert_allclose(gram, ours.centred_gram(x, x[0], extras), rtol=1e-9, atol=1e-9)
    for weights in (np.ones(7) / 7, np.eye(7)[:3]):
        np.testing.assert_allclose(theirs.combine(weights, tensor), ours.combine(weights, x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 10, 100, 1000, 1 << 14, 1 << 27])
def test_blocks_on_a_device_are_aligned_and_bounded(n: int) -> None:
    width = Device("cuda").width(n)
    assert width & (width - 1) == 0
    assert width == 4096 or (1 << 25) < n * width <= (1 << 26)
