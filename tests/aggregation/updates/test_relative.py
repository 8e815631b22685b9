"""Updates that are whole models: what was sent is subtracted while they are read, and no difference is stored."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation import Aggregator, ColumnBlocks
from robustfl.defenses import NNM, CenteredClipping, FLTrust, Krum, Mean, Median, TrimmedMean
from robustfl.errors import UpdatesError
from robustfl.server import RobustServer

N, D = 7, 9000  # more than a block of columns, so that parts of the base meet parts of the rows
RULES = {
    "trimmed_mean": TrimmedMean(f=2),
    "nnm_krum": NNM(f=2) >> Krum(f=2),
    "centered_clipping": CenteredClipping(radius=1.0),
}


def rows(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=D).astype(np.float32), rng.normal(size=(N, D)).astype(np.float32)


def as_dict(vector: Any) -> dict[str, Any]:
    return {"a": vector[:10].reshape(2, 5), "b.weight": vector[10:]}


@pytest.mark.parametrize("name", RULES)
def test_the_answer_is_that_to_the_differences_in_every_form(name: str) -> None:
    rule, (sent, models) = RULES[name], rows()
    wanted = rule.preview(models - sent)
    forms: dict[str, tuple[Any, Any]] = {
        "array": (models, sent),
        "tensor": (torch.as_tensor(models), torch.as_tensor(sent)),
        "list": (list(models), sent),
        "dicts": ([as_dict(row) for row in models], as_dict(sent)),
        "reordered": ([dict(reversed(as_dict(row).items())) for row in models], as_dict(sent)),
        "blocks": (ColumnBlocks(lambda: iter((models[:, :4000], models[:, 4000:])), shape=(N, D)), sent),
        "mixed": ([torch.as_tensor(row) if i % 2 else row for i, row in enumerate(models)], sent),
    }
    kept = models.copy()
    for form, (updates, base) in forms.items():
        answer = rule.preview(updates, relative_to=base)
        value = answer.value
        parts = [value[key].reshape(-1) for key in ("a", "b.weight")] if isinstance(value, dict) else [value]
        flat = np.concatenate([np.asarray(part) for part in parts])
        np.testing.assert_allclose(flat, wanted.value, rtol=0, atol=1e-6, err_msg=form)
        if wanted.weights is not None:
            np.testing.assert_allclose(answer.weights, wanted.weights, atol=1e-6)
    assert np.array_equal(kept, models)


def test_a_trusted_model_is_relative_too() -> None:
    sent, models = rows(1)
    own = models.mean(axis=0)
    found = FLTrust()(models, trusted=own, relative_to=sent)
    np.testing.assert_allclose(found, FLTrust()(models - sent, trusted=own - sent), atol=1e-6)


def test_the_model_is_the_template_and_not_the_majority() -> None:
    sent = {"w": np.zeros(3), "n": np.array(4)}
    good = {"w": np.ones(3), "n": np.array(5)}
    bad = {"w": np.ones((3, 1)), "n": np.array(5)}
    answer = Mean().aggregate([good, bad, bad, bad, None], relative_to=sent)
    assert sorted(answer.info["reasons"]) == [1, 2, 3, 4]
    assert answer.value["w"].tolist() == [1.0, 1.0, 1.0]
    assert int(answer.value["n"]) == 5, "integers are no differences"


def test_statistics_beside_the_geometry_are_relative_as_well() -> None:
    sent = {"w": np.zeros(3, np.float32), "bn.running_var": np.full(2, 0.5, np.float32)}
    replies = [{"w": np.ones(3, np.float32), "bn.running_var": np.full(2, v, np.float32)} for v in (0.75, 1.0, 9.0)]
    answer = Median().aggregate(replies, relative_to=sent)
    assert answer.value["bn.running_var"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("hole", [np.nan, np.inf, 3.4e38])
def test_rows_whose_difference_is_not_finite_are_rejected(hole: float) -> None:
    sent, models = rows(2)
    sent[5], models[3, 5] = -1e36, hole
    answer = TrimmedMean(f=1).aggregate(models, relative_to=sent)
    assert sorted(answer.info["reasons"]) == [3]
    kept = np.delete(models, 3, axis=0) - sent
    np.testing.assert_allclose(answer.value, TrimmedMean(f=1)(kept), rtol=1e-5)


@pytest.mark.parametrize(
    ("base", "found"),
    [
        (np.full(D, np.nan, np.float32), "`relative_to` should be finite"),
        (np.zeros(D - 1, np.float32), "`relative_to` should look like the updates"),
        ("a model", "`relative_to` should look like the updates"),
        (np.zeros(D, np.int64), "`relative_to` should look like the updates"),
    ],
    ids=["nan", "shape", "text", "integers"],
)
def test_a_model_that_does_not_fit_is_an_error_of_the_caller(base: Any, found: str) -> None:
    _, models = rows()
    with pytest.raises(UpdatesError, match=found):
        Mean()(models, relative_to=base)
    with pytest.raises(UpdatesError, match="relative_to"):
        Mean()(list(models), relative_to="a model")


def peak(work: Any) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rule", [TrimmedMean(f=3), NNM(f=3) >> Krum(f=3)], ids=["columns", "geometry"])
def test_no_copy_of_all_rows_is_made(rule: Aggregator) -> None:
    n, d = 24, 200_000
    rng = np.random.default_rng(3)
    sent = rng.normal(size=d).astype(np.float32)
    replies = {number: {"w": rng.normal(size=d).astype(np.float32)} for number in range(n)}
    matrix = n * d * 4
    rule.preview(replies, relative_to={"w": sent})  # what is compiled is not what is measured
    alone = peak(lambda: rule.preview(replies))
    relative = peak(lambda: rule.preview(replies, relative_to={"w": sent}))
    assert relative < alone + matrix / 4
    server = RobustServer(rule)
    assert peak(lambda: server.step({"w": sent}, replies)) < alone + matrix / 2
