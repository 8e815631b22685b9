"""The aggregator with NVFlare's own models and contexts, and in its simulator with three sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.fl_context import FLContextManager
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv

from robustfl.adapters.nvflare import RobustAggregator
from robustfl.errors import ParameterError, UpdatesError

SENT = {"w": np.full(3, 2.0, np.float32)}


def aggregator(rule: str, sent: Any = SENT) -> RobustAggregator:
    context = FLContextManager(engine=None, identity_name="server", job_id="1", public_stickers={}, private_stickers={})
    made = RobustAggregator(rule)
    made.fl_ctx = context.new_context()
    if sent is not None:
        model = make_model_learnable(weights=sent, meta_props={})
        made.fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, model, private=True, sticky=True)
    return made


def reply(site: str, values: Any, kind: ParamsType = ParamsType.FULL, **metrics: float) -> FLModel:
    return FLModel(params_type=kind, params=values, metrics=metrics or None, meta={"client_name": site})


def answered(made: RobustAggregator, *replies: FLModel) -> Any:
    made.reset_stats()
    for one in replies:
        made.accept_model(one)
    answer = made.aggregate_model()
    assert answer.params_type == ParamsType.FULL
    return answer


@pytest.mark.parametrize("kind", [ParamsType.FULL, ParamsType.DIFF], ids=["models", "differences"])
def test_whole_models_and_differences_give_the_same(kind: ParamsType) -> None:
    base = 2.0 if kind == ParamsType.FULL else 0.0
    made = aggregator("TrimmedMean(f=1)")
    rows = [base + value for value in (1.0, 2.0, 3.0, 1e6)]
    replies = [reply(f"site-{n}", {"w": np.full(3, row, np.float32)}, kind) for n, row in enumerate(rows)]
    assert answered(made, *replies).params["w"].tolist() == pytest.approx([4.5] * 3)
    assert answered(made, *reversed(replies)).params["w"].tolist() == pytest.approx([4.5] * 3)


def test_one_site_that_sends_another_kind_is_read_as_what_it_says() -> None:
    made = aggregator("mean")
    replies = [
        reply("a", {"w": np.full(3, 3.0, np.float32)}),
        reply("b", {"w": np.ones(3, np.float32)}, ParamsType.DIFF),
    ]
    assert answered(made, *replies).params["w"].tolist() == [3.0] * 3


def test_the_global_model_is_the_template() -> None:
    made = aggregator("mean")
    odd = [reply(f"b{n}", {"w": np.ones((1, 3), np.float32)}) for n in range(3)]
    wrong = {"names": {"v": np.ones(3)}, "nan": {"w": np.full(3, np.nan)}, "text": {"w": "x"}}
    others = [reply(name, values) for name, values in wrong.items()]
    answer = answered(made, *odd, *others, reply("good", {"w": np.full(3, 5.0, np.float32)}))
    assert answer.params["w"].tolist() == [5.0] * 3
    assert made.last is not None
    assert sorted(made.last.refused) == ["b0", "b1", "b2", "names", "nan", "text"]


def test_metrics_are_medians_and_too_few_replies_keep_the_model() -> None:
    made = aggregator("TrimmedMean(f=1)")
    replies = [reply(f"{n}", {"w": np.ones(3, np.float32)}, accuracy=value) for n, value in enumerate([0.5, 1e9, 0.6])]
    assert answered(made, *replies).metrics == {"accuracy": 0.6}
    kept = answered(made, *replies[:2])
    assert kept.params["w"].tolist() == SENT["w"].tolist()
    assert made.last is not None
    assert "needs n >= 2f + 1" in made.last.held


def test_what_it_cannot_do_is_an_error() -> None:
    with pytest.raises(ParameterError, match="give the rule as a text"):
        RobustAggregator(object())  # type: ignore[arg-type]
    with pytest.raises(UpdatesError, match="no global model"):
        answered(aggregator("mean", None), reply("a", {"w": np.ones(3)}))


@pytest.mark.parametrize("kind", ["scale", "nan"])
def test_three_sites_in_the_simulator(kind: str, tmp_path: Path) -> None:
    recipe = NumpyFedAvgRecipe(
        name="liars",
        model=[[1.0, 2.0], [3.0, 4.0]],
        min_clients=3,
        num_rounds=2,
        train_script=str(Path(__file__).parent / "client.py"),
        train_args=kind,
        aggregator=RobustAggregator("Median()"),
    )
    recipe.execute(SimEnv(num_clients=3, num_threads=1, workspace_root=str(tmp_path)))
    models = sorted(tmp_path.rglob("*.npy"))
    assert models
    found = np.load(models[-1])
    # With the liar's numbers far away the median is that of one honest site or the mean of both: two rounds of +1.
    np.testing.assert_allclose(found, np.array([[3.0, 4.0], [5.0, 6.0]]))
