"""The version of the operations for torch tensors on an accelerator, which gives the same results as the host's."""

from __future__ import annotations

from functools import cache, cached_property
from types import ModuleType

import torch

from robustfl.aggregation.kernels import torch_order as selection
from robustfl.aggregation.kernels.base import Array, Floats, is_tensor
from robustfl.aggregation.kernels.chunks import over_pieces

BLOCK = 1 << 26
"""Number of values in a block of columns.

A block of a matrix on the device is a view, so a large block takes no memory. Many small blocks would take time,
because each costs a tenth of a millisecond of Python and a wait for its extents.
"""

PIECE = 1 << 22
"""Number of values that are converted to float64 at a time: 32 MiB, most of which stay in the cache of a large GPU."""


class Device:
    """The operations in torch, and some of them in Triton if there is a GPU and a compiler for it.

    Results stay on the device, except for the few numbers from which rules decide. Geometry is float64, as on the
    host. Data-centre GPUs multiply matrices in float64 about as fast as in float32. Other GPUs are 32 to 64 times
    slower in float64. On those, the Gram matrix of more than a few rows takes longer than reading the data, but it is
    equally exact.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    @cached_property
    def compiled(self) -> bool:
        """Whether Triton's kernels are used: they need Triton and an AMD GPU, or an NVIDIA GPU from Volta on."""
        place = torch.device(self.device)
        if place.type != "cuda" or not has_triton():
            return False
        return torch.version.hip is not None or torch.cuda.get_device_capability(place) >= (7, 0)

    def width(self, n: int) -> int:
        # a power of two keeps the following blocks aligned
        return max(1 << 12, 1 << max(BLOCK // n, 1).bit_length() - 1)

    def row_extent(self, block: Array) -> tuple[Floats, Floats]:
        if self.compiled:
            from robustfl.aggregation.kernels import triton_sums

            return triton_sums.row_extent(block)

        def extents(piece: Array, columns: slice) -> Array:
            values = piece.double()
            return torch.stack([torch.maximum(values.amax(dim=1), -values.amin(dim=1)), values.square().sum(dim=1)])

        found = torch.stack(over_pieces(block, PIECE, extents))  # [pieces, 2, n]
        return _host(found[:, 0].amax(dim=0)), _host(found[:, 1].sum(dim=0))

    def centred_gram(self, block: Array, reference: Array, extras: Array | None) -> Floats:
        n, p = len(block), len(block) + 1 + (0 if extras is None else len(extras))
        gram = torch.zeros((p, p), dtype=torch.float64, device=block.device)

        def add(piece: Array, columns: slice) -> None:
            centre = reference[columns].double()
            points = torch.empty((p, len(centre)), dtype=torch.float64, device=block.device)
            torch.sub(piece, centre, out=points[:n])
            torch.neg(centre, out=points[n])
            if extras is not None:
                torch.sub(extras[:, columns], centre, out=points[n + 1 :])
            gram.addmm_(points, points.T)

        over_pieces(block, PIECE, add)
        return _host(gram)

    def combine(self, weights: Floats, block: Array) -> Array:
        # float64, because the surrounding program may allow float32 products of reduced precision
        exact = torch.as_tensor(weights, dtype=torch.float64, device=block.device)
        if self.compiled and weights.ndim == 1:
            from robustfl.aggregation.kernels import triton_sums

            return triton_sums.weighted_sum(exact, block)
        out = torch.empty((*weights.shape[:-1], block.shape[1]), dtype=block.dtype, device=block.device)

        def write(piece: Array, columns: slice) -> None:
            out[..., columns] = exact @ piece.double()

        over_pieces(block, PIECE, write)
        return out

    def median(self, block: Array, *, exact: bool = False) -> Array:
        return self._order(len(block)).median(block, exact)

    def trimmed_mean(self, block: Array, f: int, *, exact: bool = False) -> Array:
        return self._order(len(block)).trimmed_mean(block, f, exact)

    def mean_around(self, block: Array, centre: Array, count: int) -> Array:
        return self._order(len(block)).mean_around(block, centre, count)

    def _order(self, n: int) -> ModuleType:
        """The module that computes order statistics of `n` values."""
        if not self.compiled:
            return selection
        from robustfl.aggregation.kernels import triton_order

        return triton_order if n <= triton_order.MOST_ROWS else selection

    def sign_sum(self, block: Array) -> Array:
        return selection.sign_sum(block)

    def sign_counts(self, block: Array) -> Floats:
        def count(piece: Array, columns: slice) -> Array:
            return torch.stack([(piece > 0).sum(dim=1), (piece < 0).sum(dim=1)], dim=1)

        return _host(sum(over_pieces(block, PIECE, count)).double())

    def inner(self, block: Array, vector: Array) -> Floats:
        def products(piece: Array, columns: slice) -> Array:
            return piece.double() @ vector[columns].double()

        return _host(sum(over_pieces(block, PIECE, products)))

    def concatenate(self, vectors: list[Array]) -> Array:
        return torch.cat(vectors)

    def stack(self, vectors: list[Array]) -> Array:
        return torch.stack(vectors)

    def empty(self, shape: tuple[int, ...], working: str) -> Array:
        return torch.empty(shape, dtype=getattr(torch, working), device=self.device)

    def place(self, vector: Array, working: str) -> Array:
        source = vector.detach() if is_tensor(vector) else vector
        return torch.as_tensor(source, dtype=getattr(torch, working), device=self.device)

    def is_finite(self, vector: Array) -> bool:
        return bool(vector.isfinite().all())


@cache
def has_triton() -> bool:
    """Whether Triton can be imported, in a version with which the kernels are tested. It comes with torch for GPUs."""
    try:
        import triton
    except ImportError:
        return False
    return tuple(int(number) for number in triton.__version__.split(".")[:2]) >= (3, 2)


def _host(numbers: Array) -> Floats:
    """A few numbers from the device, as a numpy array."""
    copied: Floats = numbers.cpu().numpy()
    return copied
