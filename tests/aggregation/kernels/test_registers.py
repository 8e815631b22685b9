"""Kernels for processors with shorter registers, in a process that compiles for one of those."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robustfl.aggregation.kernels.choice import compiles
from tests.imports import ROOT

FEATURES = {
    "haswell": "+avx,+avx2,+bmi,+bmi2,+cmov,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sse,+sse2,+sse3,+sse4.1,"
    "+sse4.2,+ssse3,+xsave",
}
"""What processors can do that are older than AVX-512."""

ANSWERS = """
import sys
import numpy as np
from robustfl.aggregation.kernels import compiled, compiled_vectors
found = {"lanes": np.array(compiled_vectors.REGISTER_LANES)}
for dtype in ("float32", "float64"):
    x = np.random.default_rng(0).normal(size=(22, 173)).astype(dtype)
    x[9] = x[2]
    found[f"combine {dtype}"] = compiled.combine(np.linspace(-1.0, 2.0, 22), x)
    found[f"median {dtype}"] = compiled.median(x)
    found[f"trimmed {dtype}"] = compiled.trimmed_mean(x, 5)
    found[f"gram {dtype}"] = compiled.centred_gram(x, x[0])
np.savez(sys.argv[1], **found)
"""


def answers(folder: Path, processor: str | None) -> dict[str, np.ndarray]:
    """What kernels answer in a process of their own, compiled for a processor; None: for this one."""
    told = {} if processor is None else {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": FEATURES[processor]}
    path = folder / f"{processor}.npz"
    subprocess.run(
        [sys.executable, "-c", ANSWERS, str(path)], check=True, cwd=ROOT, env={**os.environ, **told}, timeout=300
    )
    with np.load(path) as stored:
        return dict(stored)


@pytest.mark.slow  # compiles the kernels once more
@pytest.mark.skipif(not compiles() or platform.machine() not in ("x86_64", "AMD64"), reason="needs numba on x86-64")
def test_shorter_registers_change_no_bit_but_in_sums_over_columns(tmp_path: Path) -> None:
    """Sums over rows and order statistics are those of any width; a Gram adds up columns register by register."""
    here, there = answers(tmp_path, None), answers(tmp_path, "haswell")
    assert there["lanes"] == 4
    for name, expected in here.items():
        found = there[name]
        if name.startswith("gram"):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * np.abs(expected).max())
            assert found[2, 2] - found[2, 9] == 0.0 == found[9, 9] - found[9, 2]
        elif name != "lanes":
            assert found.tobytes() == expected.tobytes(), name
