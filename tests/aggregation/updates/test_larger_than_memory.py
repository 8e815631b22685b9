"""A matrix in a mapped file is aggregated in far less memory than it takes itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robustfl import registry
from tests.benchmarks.mapped import EDGE, aggregate_mapped, columns_for, edges, write_sparse

N, GIGABYTES = 100, 1.2
LARGEST_PEAK = 300_000_000
"""Bytes beside what the process had before: a quarter of the file, most of which are the pages being read."""


@pytest.fixture(scope="module")
def mapped_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("mapped") / "updates.npy"
    write_sparse(path, N, columns_for(GIGABYTES, N))
    yield path
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["TrimmedMean(f=20)", "Krum(f=20)", "NNM(f=20) >> TrimmedMean(f=20)"])
def test_a_mapped_file_takes_a_fraction_of_its_size(rule: str, mapped_file: Path) -> None:
    found, value = aggregate_mapped(rule, mapped_file)
    assert found.file_bytes > 1.19e9
    assert 0 < found.peak_bytes < LARGEST_PEAK
    expected = registry.build("defense", rule)(edges(N))
    np.testing.assert_allclose(np.concatenate([value[:EDGE], value[-EDGE:]]), expected, rtol=1e-5, atol=1e-6)
    assert not value[EDGE:-EDGE].any()
