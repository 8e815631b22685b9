"""The kit finds the faults that published libraries have had, each re-created in a few lines, and shows them small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robustfl.testing import check_aggregator
from tests.testing.finding import examined, fault, pasted

# ------------------------------------------------------------------------------------------------------- callables


def median(x: Any) -> Any:
    return np.median(x, axis=0)


def clips_in_place(x: Any) -> Any:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x *= np.minimum(1.0, 2.0 / np.maximum(norms, 1e-12))
    return x.mean(axis=0)


def clips_tensors_in_place(x: Any) -> Any:
    return x.clamp_(-2.0, 2.0).mean(dim=0)


def one_power_step(x: Any) -> Any:
    """Rows weighted by their part in a direction from one power step, which starts at random."""
    centred = x - x.mean(axis=0)
    direction = centred.T @ (centred @ np.random.rand(x.shape[1]))  # noqa: NPY002
    parts = np.abs(centred @ direction)
    return x[np.argsort(parts, kind="stable")[: len(x) - 1]].mean(axis=0)


def fresh_noise(x: Any) -> Any:
    return x.mean(axis=0) + np.random.default_rng().normal(size=x.shape[1])


def uncentred_krum(x: Any) -> Any:
    """Krum for f=1 by way of the Gram matrix, in the rows' own precision."""
    gram = x @ x.T
    squares = np.diag(gram)
    distances = squares[:, None] + squares[None, :] - 2 * gram
    np.fill_diagonal(distances, np.inf)
    return x[np.argmin(np.sort(distances, axis=1)[:, : len(x) - 3].sum(axis=1))].copy()


def rooted_krum(x: Any) -> Any:
    """The same with plain distances, and so with roots of what is slightly negative."""
    gram = x @ x.T
    squares = np.diag(gram)
    distances = np.sqrt(squares[:, None] + squares[None, :] - 2 * gram)
    np.fill_diagonal(distances, np.inf)
    return x[np.argmin(np.sort(distances, axis=1)[:, : len(x) - 3].sum(axis=1))].copy()


def careful_krum(x: Any) -> Any:
    """Krum for f=1 without any of the faults, but for rows that are not finite, which numpy takes for the smallest."""
    differences = x[:, None].astype(np.float64) - x[None]
    distances = (differences**2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return x[np.argmin(np.sort(distances, axis=1)[:, : len(x) - 3].sum(axis=1))].copy()


def without_f(f: int) -> Callable[[Any], Any]:
    return lambda x: np.sort(x, axis=0)[f:-f].mean(axis=0)


def none_for_nobody(x: Any) -> Any:
    """The best of all subsets without f rows, when there are no rows to leave out: the search never starts."""
    best = None
    for left_out in range(0):
        best = np.delete(x, left_out, axis=0).mean(axis=0)
    return best


class Momentum:
    """Half of the last answer stays in the next one, and nothing says so."""

    def __init__(self) -> None:
        self.last: Any = 0.0

    def __call__(self, x: Any) -> Any:
        self.last = (self.last + x.mean(axis=0)) / 2
        return self.last.copy()


def through_float32(x: Any) -> Any:
    return x.astype(np.float32).mean(axis=0).astype(x.dtype)


def to_float64(x: Any) -> Any:
    return x.astype(np.float64).mean(axis=0)


def tensors_to_float32(x: Any) -> Any:
    return x.float().median(dim=0).values


def weighted_by_place(x: Any) -> Any:
    weights = 1.0 + np.arange(len(x))
    return (weights / weights.sum()) @ x


def sum_without_extremes(x: Any) -> Any:
    return (x.sum(axis=0) - x.max(axis=0) - x.min(axis=0)) / (len(x) - 2)


def ignores_its_input(x: Any) -> Any:
    return np.zeros(x.shape[1])


def view_of_a_row(x: Any) -> Any:
    return x[len(x) // 2]


def reads_the_buffer(x: Any) -> Any:
    return np.median(x.ravel(order="K").reshape(x.shape), axis=0)


def fixed_smoothing(x: Any) -> Any:
    """One Weiszfeld step from the median; the smoothing is a length."""
    center = np.median(x, axis=0)
    pull = 1.0 / (0.1 + np.linalg.norm(x - center, axis=1))
    return pull @ x / pull.sum()


def by_norm(x: Any) -> Any:
    shares = np.linalg.norm(x, axis=1) + 1e-9
    return shares @ x / shares.sum()


def sum_instead_of_mean(x: Any) -> Any:
    return x.sum(axis=0)


def divides_by_the_spread(x: Any) -> Any:
    center, spread = x.mean(axis=0), x.std(axis=0)
    return center + ((x - center) / spread).mean(axis=0) * spread


def zero_for_nan(x: Any) -> Any:
    return np.nan_to_num(x).mean(axis=0)


def stumbles(x: Any) -> Any:
    good = [row for row in x if np.isfinite(row).all()]
    return np.sort(np.array(good), axis=0)[: len(x)][len(x) - 1]


FAULTS: dict[str, tuple[Callable[[Any], Any], str, dict[str, Any], str]] = {
    "clipping overwrites the rows": (clips_in_place, "mutation", {}, "the rows were changed"),
    "clipping overwrites tensors": (
        clips_tensors_in_place,
        "mutation",
        {"accepts": "torch"},
        "the rows were changed",
    ),
    "a random start": (one_power_step, "generators", {}, "global random generator of numpy"),
    "a random start, seen from outside": (one_power_step, "deterministic", {}, "gets two answers"),
    "entropy of its own": (fresh_noise, "deterministic", {}, "gets two answers"),
    "an uncentred Gram matrix": (uncentred_krum, "centring", {"f": 1}, "do not give rule(x + offset)"),
    "roots of negative numbers": (rooted_krum, "centring", {"f": 1}, "do not give rule(x + offset)"),
    "a warning on the way": (divides_by_the_spread, "quiet", {}, "RuntimeWarning: invalid value"),
    "writing into what is only lent": (clips_in_place, "read_only", {}, "read-only"),
    "a NaN row is the smallest": (careful_krum, "hostile", {"f": 1}, "hostile rows get through"),
    "NaN runs through a median": (median, "hostile", {"f": 1}, "hostile rows get through"),
    "infinity becomes a large number": (zero_for_nan, "hostile", {"f": 1}, "1 hostile row moved the answer beyond 20"),
    "an accident instead of a refusal": (stumbles, "hostile", {"f": 1}, "an accidental IndexError"),
    "an empty slice": (without_f(0), "consensus", {}, "not finite"),
    "nothing at all": (none_for_nobody, "degenerate", {}, "returned None"),
    "an undeclared memory": (Momentum(), "repeatable", {}, "answers differently after another question"),
    "float64 through float32": (through_float32, "precision", {}, "digits beyond float32 are lost"),
    "float32 becomes float64": (to_float64, "dtype", {}, "numpy.float64 for rows that are numpy.float32"),
    "float64 tensors become float32": (tensors_to_float32, "dtype", {"accepts": "torch"}, "torch.float32 on cpu"),
    "half precision becomes float32": (tensors_to_float32, "half", {"accepts": "torch"}, "torch.float32 on cpu"),
    "weights in order of the list": (weighted_by_place, "permutation", {}, "in another order"),
    "the sum without the extremes": (sum_without_extremes, "breakdown", {"f": 1}, "the first 1 of"),
    "the mean": (lambda x: x.mean(axis=0), "breakdown", {"f": 1}, "the first 1 of"),
    "a constant": (ignores_its_input, "responsive", {}, "get one answer"),
    "a view of a row": (view_of_a_row, "aliasing", {}, "changes the rows that came in"),
    "the memory read as it lies": (reads_the_buffer, "layout", {}, "memory layout"),
    "a smoothing with a length": (fixed_smoothing, "scaling", {}, "multiplied rows"),
    "weights from norms": (by_norm, "translation", {}, "moved rows"),
    "a sum": (sum_instead_of_mean, "consensus", {}, "equal rows do not come back"),
    "a sum, seen from the range": (sum_instead_of_mean, "box", {}, "outside the rows' own range"),
    "a division by zero": (divides_by_the_spread, "degenerate", {}, "not finite"),
    "a matrix instead of a row": (lambda x: x, "box", {}, "returned shape"),
    "an error": (lambda x: x[0] / x["d"], "box", {}, "the rule raised IndexError"),
}


@pytest.mark.parametrize("label", FAULTS)
def test_a_fault_is_found_named_and_shown_small(label: str) -> None:
    rule, name, options, words = FAULTS[label]
    finding = fault(rule, name, **options)
    assert words in finding.reason
    x = pasted(finding)["x"]
    least = 2 * options.get("f", 0) + 3
    assert x.shape[1] <= 2
    assert len(x) <= least + 2
    assert len(finding.counterexample) < 400


def test_a_memory_may_be_declared() -> None:
    rule = Momentum()
    assert examined(rule, claims=["repeatable"]).violated == ("repeatable",)
    rule.stateful = True  # type: ignore[attr-defined]
    assert examined(rule, claims=["repeatable"]).named("not applicable") == ("repeatable",)


def test_a_counterexample_shows_the_fault_when_it_is_pasted() -> None:
    names = pasted(fault(weighted_by_place, "permutation"))
    x, order = names["x"], names["order"]
    assert not np.allclose(weighted_by_place(x), weighted_by_place(x[order]))
    names = pasted(fault(uncentred_krum, "centring", f=1))
    x = names["x"] + names["offset"]
    single = uncentred_krum(x.astype(np.float32))
    assert np.abs(single - uncentred_krum(x)).max() >= 1


def test_ties_are_no_faults() -> None:
    """Krum takes the first of equally good rows: another one in another order, which is nobody's fault."""
    x = np.array([[0.0], [0.0], [1.0], [1.0], [5.0], [-4.0]])
    assert careful_krum(x) != careful_krum(x[::-1])
    claims = ["permutation", "translation", "scaling", "layout", "centring"]
    assert check_aggregator(careful_krum, f=1, claims=claims, max_examples=60).conforms


def test_a_sound_callable_passes_everything() -> None:
    def sound(x: Any) -> Any:
        clean = x[
            np.isfinite(x).all(axis=1) & (np.abs(x) < 1e30 if x.dtype == np.float32 else np.abs(x) < 1e250).all(1)
        ]
        if not len(clean):
            raise ValueError("no row is usable")
        ordered = np.sort(clean, axis=0)
        return (ordered[(len(clean) - 1) // 2] / 2 + ordered[len(clean) // 2] / 2).astype(x.dtype)

    report = check_aggregator(sound, f=1)
    assert report.named("not claimed") == ()
    assert "permutation" in report.named("held")


def test_a_sound_rule_for_tensors_passes_everything() -> None:
    def sound(x: Any) -> Any:
        import torch

        clean = x[x.isfinite().all(dim=1)]
        if not len(clean):
            raise ValueError("no row is usable")
        ordered = clean.double().sort(dim=0).values
        middle = ordered[(len(clean) - 1) // 2] / 2 + ordered[len(clean) // 2] / 2
        limit = torch.finfo(x.dtype).max
        return middle.clamp(-limit, limit).to(x.dtype)

    assert check_aggregator(sound, f=1, accepts="torch").conforms
