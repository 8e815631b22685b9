"""The operations on torch tensors of an accelerator, written to give the host's results."""

from __future__ import annotations

import torch

from robustfl.aggregation.kernels import Array, Floats, is_tensor


class Device:
    """The operations in torch; results stay on the device, except the few numbers that rules decide on."""

    def __init__(self, device: str) -> None:
        self.device = device

    def width(self, n: int) -> int:
        return max(1 << 12, (1 << 26) // n)

    def row_extent(self, block: Array) -> tuple[Floats, Floats]:
        part = block.double()
        return part.abs().amax(dim=1).cpu().numpy(), part.square().sum(dim=1).cpu().numpy()

    def centred_gram(self, block: Array, reference: Array, extras: Array | None) -> Floats:
        points = [block, torch.zeros_like(block[:1]), *([] if extras is None else [extras])]
        part = torch.cat(points).double() - reference.double()
        gram: Floats = (part @ part.T).cpu().numpy()
        return gram

    def combine(self, weights: Floats, block: Array) -> Array:
        # float64, because the program around may allow float32 products of reduced precision
        exact = torch.as_tensor(weights, dtype=torch.float64, device=block.device)
        return (exact @ block.double()).to(block.dtype)

    def median(self, block: Array) -> Array:
        n, ordered = len(block), block.sort(dim=0).values
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n % 2 == 0 else ordered[n // 2]

    def trimmed_mean(self, block: Array, f: int) -> Array:
        kept = block if f == 0 else block.sort(dim=0).values[f:-f]
        return kept.mean(dim=0, dtype=torch.float64).to(block.dtype)

    def mean_around(self, block: Array, centre: Array, count: int) -> Array:
        distances = (block.double() - centre.double()).abs()
        nearest = distances.argsort(dim=0, stable=True)[:count]
        return block.gather(0, nearest).mean(dim=0, dtype=torch.float64).to(block.dtype)

    def sign_sum(self, block: Array) -> Array:
        return block.sign().sum(dim=0)

    def sign_counts(self, block: Array) -> Floats:
        counts: Floats = torch.stack([(block > 0).sum(dim=1), (block < 0).sum(dim=1)], dim=1).double().cpu().numpy()
        return counts

    def inner(self, block: Array, vector: Array) -> Floats:
        products: Floats = (block.double() @ vector.double()).cpu().numpy()
        return products

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
