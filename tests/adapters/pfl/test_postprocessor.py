"""The postprocessor in pfl's own simulation: eight users, of whom one lies."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from pfl.postprocessor.base import Postprocessor
from pfl.stats import MappedVectorStatistics
from sklearn.datasets import load_digits

from robustfl.adapters.pfl import RobustPostprocessor
from robustfl.defenses import Krum, Mean, TrimmedMean
from robustfl.errors import ParameterError, UpdatesError
from robustfl.server import RobustServer

USERS, TRAINING = 8, 1400


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return torch.as_tensor(x[order] / 16, dtype=torch.float32), torch.as_tensor(y[order])


class Lies(Postprocessor):
    """User 0 sends something else."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def postprocess_one_user(self, *, stats: Any, user_context: Any) -> tuple[Any, Any]:
        if user_context.user_id == 0:
            for name in stats:
                stats[name] = stats[name] * self.factor
        return stats, Metrics()


class OnTheServer(Postprocessor):
    """Works on the sum, as noise for differential privacy does."""

    def postprocess_server(self, *, stats: Any, central_context: Any, aggregate_metrics: Any) -> tuple[Any, Any]:
        for name in stats:
            stats[name] = stats[name] + 1.0
        return stats, Metrics()


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(64, 32), torch.nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))

    def loss(self, x: torch.Tensor, y: torch.Tensor, eval: bool = False) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self(x), y)

    def metrics(self, x: torch.Tensor, y: torch.Tensor, eval: bool = False) -> dict[str, Any]:
        with torch.no_grad():
            return {"accuracy": Weighted(float((self(x).argmax(1) == y).sum()), len(x))}


def accuracy(postprocessors: list[Any], rounds: int = 8) -> float:
    """What a network learns in some rounds."""
    torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002  # pfl draws from these
    torch.set_num_threads(1)
    x, y = digits()
    users = {u: Dataset((x[:TRAINING][u::USERS], y[:TRAINING][u::USERS]), user_id=u) for u in range(USERS)}
    data = FederatedDataset(users.__getitem__, get_user_sampler("minimize_reuse", list(range(USERS))))
    network = Network()
    optimiser = torch.optim.SGD(network.parameters(), 1.0)
    model = PyTorchModel(network, local_optimizer_create=torch.optim.SGD, central_optimizer=optimiser)
    parameters = NNAlgorithmParams(
        central_num_iterations=rounds, evaluation_frequency=100, train_cohort_size=USERS, val_cohort_size=0
    )
    FederatedAveraging().run(
        algorithm_params=parameters,
        backend=SimulatedBackend(training_data=data, val_data=data, postprocessors=postprocessors),
        model=model,
        model_train_params=NNTrainHyperParams(local_num_epochs=3, local_learning_rate=0.2, local_batch_size=32),
        model_eval_params=NNEvalHyperParams(local_batch_size=1000),
        callbacks=[],
    )
    with torch.no_grad():
        return float((network(x[TRAINING:]).argmax(1) == y[TRAINING:]).float().mean())


def test_a_liar_breaks_the_mean_and_not_the_rule() -> None:
    clean = accuracy([])
    assert clean > 0.9
    assert accuracy([Lies(-50.0)]) < 0.3
    for rule in (Krum(f=1), "nnm >> trimmed_mean"):
        robust = RobustPostprocessor(rule, f=1 if isinstance(rule, str) else None)
        assert accuracy([Lies(-50.0), WeightByDatapoints(), robust]) > clean - 0.06
        assert robust.last is not None
        assert robust.last.refused == {}


def test_users_without_finite_numbers_are_refused() -> None:
    robust = RobustPostprocessor(Mean())
    assert accuracy([Lies(float("nan")), robust]) > 0.9
    assert robust.last is not None
    assert list(robust.last.refused) == [0]
    assert "not finite" in robust.last.refused[0]


@pytest.mark.parametrize("other", [Lies(-1.0), OnTheServer(), WeightByDatapoints()], ids=["user", "server", "weights"])
def test_another_postprocessor_behind_it_ends_the_first_round(other: Any) -> None:
    with pytest.raises(ParameterError, match="should be the last of the postprocessors"):
        accuracy([RobustPostprocessor(Mean()), other], rounds=1)


def round_of(robust: RobustPostprocessor, sent: dict[Any, Any]) -> Any:
    total = None
    for user, (values, weight) in sent.items():
        given = MappedVectorStatistics({"w": torch.tensor(values) * weight}, weight=weight)
        stats, _ = robust.postprocess_one_user(stats=given, user_context=SimpleNamespace(user_id=user))
        total = stats if total is None else total + stats
    answer, _ = robust.postprocess_server(stats=total, central_context=None, aggregate_metrics=Metrics())
    return answer


def test_weights_that_users_declare_play_no_part() -> None:
    rows = [[1.0, 2.0], [3.0, 4.0], [2.0, 9.0]]
    answer = round_of(RobustPostprocessor(Mean()), {user: (row, 10.0**user) for user, row in enumerate(rows)})
    assert answer.weight == 1.0
    torch.testing.assert_close(answer["w"], torch.tensor([2.0, 5.0]))


def test_a_weight_of_zero_refuses_a_user() -> None:
    robust = RobustPostprocessor(Mean())
    answer = round_of(robust, {1: ([1.0], 2.0), 2: ([5.0], 0.0)})
    assert answer["w"].tolist() == [1.0]
    assert robust.last is not None
    assert list(robust.last.refused) == [2]


def test_too_few_users_keep_the_model() -> None:
    robust = RobustPostprocessor(TrimmedMean(f=2))
    answer = round_of(robust, {1: ([1.0], 1.0), 2: ([5.0], 1.0)})
    assert answer["w"].tolist() == [0.0]
    assert robust.last is not None
    assert "needs n >= 2f + 1" in robust.last.held


def test_what_it_cannot_do_is_an_error() -> None:
    robust = RobustPostprocessor(RobustServer("mean", replies_are="deltas"))
    with pytest.raises(UpdatesError, match="vectors with names"):
        robust.postprocess_one_user(stats=object(), user_context=SimpleNamespace(user_id=1))
    stats = MappedVectorStatistics({"w": torch.ones(1)})
    robust.postprocess_one_user(stats=stats, user_context=SimpleNamespace(user_id=1))
    with pytest.raises(UpdatesError, match="User 1 took part twice"):
        robust.postprocess_one_user(stats=stats, user_context=SimpleNamespace(user_id=1))
    with pytest.raises(ParameterError, match="send differences"):
        RobustPostprocessor(RobustServer("mean"))
