"""Matrices that order statistics can get wrong, and what the Triton kernels and the host make of them.

Started by `test_triton_order.py` as `python -m tests.aggregation.triton_cases FILE` with ``TRITON_INTERPRET=1``: the
kernels then run on the host, and their answers are written to the file.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from robustfl.aggregation.kernels.host import Host

SIZES = (1, 2, 3, 20, 99, 100, 129, 256)
TYPES = ("float32", "float64")
COLUMNS = 21
LAYOUTS = ("whole", "slice", "transposed")

Answers = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    n: int
    dtype: str
    layout: str

    @property
    def name(self) -> str:
        return f"{self.n}-{self.dtype}-{self.layout}"


SAMPLES = [
    Sample(n, dtype, layout)
    for n in SIZES
    for dtype in TYPES
    for layout in (LAYOUTS if n in (3, 20) else LAYOUTS[n % 2 : n % 2 + 1])
]


def matrix(sample: Sample) -> Any:
    """[n, COLUMNS] with a trap in every column, and in the last ones ordinary numbers."""
    n, limits, rng = sample.n, np.finfo(sample.dtype), np.random.default_rng(sample.n)
    x = rng.normal(size=(n, COLUMNS)).astype(sample.dtype)
    x[:, 0] = 3  # all equal
    x[:, 1] = np.round(x[:, 1])  # few values, most of them several times
    x[:, 2] = np.where(np.arange(n) % 2, 0.0, -0.0)  # equal, but not the same bits
    x[:, 3] = rng.integers(-5, 6, size=n) * limits.smallest_subnormal
    x[:, 4] = rng.integers(-2, 3, size=n) * limits.smallest_normal
    x[: n // 3, 5] = 1e30  # attackers
    x[:, 6] = np.where(rng.random(n) < 0.6, 0, x[:, 6])  # sparse updates
    x[:, 7] = limits.max / (4 * n) * np.sign(x[:, 7])  # the largest that rules ever see
    x[:, 8] = 1 + np.arange(n) * limits.eps  # neighbours
    x[:, 9] = -np.sort(-x[:, 9])
    x[:, 10] = np.where(np.arange(n) % 2, 1, -1) * (1 + np.arange(n) // 2)  # pairs at one distance from 0
    x[:, 11] = np.exp(20 * x[:, 11])
    return x


def centre(x: Any) -> Any:
    """A point [COLUMNS] to be near to: 0 between the pairs and where rounding would overflow, else close to a value."""
    around = x[0].copy()
    around[[2, 6, 7, 10]] = 0
    return np.round(around, 1)


def weights(n: int) -> Any:
    return np.random.default_rng(n).normal(size=n)


def trims(n: int) -> set[int]:
    return {(n - 1) // 5, (n - 1) // 2} | ({0, min(1, (n - 1) // 2)} if n < 50 else set())


def counts(n: int) -> set[int]:
    return {n - n // 5} | ({1, (n + 1) // 2, n} if n < 50 else set())


def expected(sample: Sample) -> Answers:
    """What the host makes of the matrix."""
    x = matrix(sample)
    return answers(Host(), x, centre(x), weights(sample.n))


def found(sample: Sample, device: str) -> Answers:
    """What the Triton kernels make of the matrix, laid out in memory as the sample says."""
    from robustfl.aggregation.kernels import triton_order, triton_sums

    x = matrix(sample)
    if sample.layout == "transposed":
        tensor = torch.as_tensor(np.ascontiguousarray(x.T)).to(device).T
    elif sample.layout == "slice":
        tensor = torch.as_tensor(np.hstack([x[:, :3], x, x[:, :7]])).to(device)[:, 3 : 3 + COLUMNS]
    else:
        tensor = torch.as_tensor(x).to(device)

    class Triton:
        median, trimmed_mean, mean_around = triton_order.median, triton_order.trimmed_mean, triton_order.mean_around
        row_extent, combine = triton_sums.row_extent, triton_sums.weighted_sum

    def there(vector: Any) -> torch.Tensor:
        return torch.as_tensor(vector).to(device)

    result = answers(Triton, tensor, there(centre(x)), there(weights(sample.n)))
    return {name: value.cpu().numpy() if isinstance(value, torch.Tensor) else value for name, value in result.items()}


def answers(kernels: Any, x: Any, around: Any, weight: Any) -> Answers:
    n = len(x)
    peak, square = kernels.row_extent(x)
    result = {"median": kernels.median(x), "peak": peak, "square": square, "sum": kernels.combine(weight, x)}
    result |= {f"trimmed {f}": kernels.trimmed_mean(x, f) for f in trims(n)}
    middle = kernels.median(x, exact=True)
    result |= {"exact median": middle}
    result |= {f"exact trimmed {f}": kernels.trimmed_mean(x, f, exact=True) for f in trims(n)}
    result |= {f"around {count}": kernels.mean_around(x, around, count) for count in counts(n)}
    result |= {f"around the median {count}": kernels.mean_around(x, middle, count) for count in counts(n)}
    return result


if __name__ == "__main__":
    np.savez(sys.argv[1], **{f"{s.name} {name}": value for s in SAMPLES for name, value in found(s, "cpu").items()})
