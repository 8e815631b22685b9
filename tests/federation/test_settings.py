"""The rules of a federation: defaults, limits, and how many rows of a round may be malicious."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robustfl.federation import Federation, Server
from robustfl.federation.graphs import Ring
from robustfl.federation.settings import Settings


def test_the_message_follows_the_algorithm_unless_given() -> None:
    assert Federation.model_validate({}).message == "gradient"
    assert Federation.model_validate({"algorithm": "fedavg"}).message == "delta"
    assert Federation.model_validate({"algorithm": "fedavg", "message": None}).message == "delta"
    assert Federation.model_validate({"algorithm": "fedavg", "message": "gradient"}).message == "gradient"
    assert Federation.model_validate({"message": "delta"}).message == "delta"


@pytest.mark.parametrize(
    "values",
    [
        {"clients": 0},
        {"clients": 2.5},
        {"rounds": 0},
        {"local_steps": 0, "algorithm": "fedavg"},
        {"local_learning_rate": 0.0},
        {"local_learning_rate": float("inf")},
        {"batch_size": 0},
        {"message": "weights"},
        {"client_momentum": 1.0},
        {"client_momentum": -0.1},
        {"participation": 0.0},
        {"participation": 1.01},
        {"malicious_per_round": "some"},
        {"evaluate_every": 0},
        {"client_mode": "fast"},
        {"server": {"learning_rate": 0}},
        {"server": {"learning_rate": float("nan")}},
        {"server": {"momentum": 1}},
        {"server": {"optimizer": "adagrad"}},
        {"algorithm": "fedprox"},
        {"epochs": 3},
        {"server": {"lr": 0.1}},
    ],
    ids=str,
)
def test_values_out_of_range_and_unknown_keys_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Federation.model_validate(values)
    key = next(iter(values))
    assert str(caught.value.errors()[0]["loc"][0]) == key


def test_local_steps_need_fedavg() -> None:
    with pytest.raises(ValidationError, match=r"fedsgd takes one step a round, but local_steps=3\. Use fedavg"):
        Federation.model_validate({"local_steps": 3})
    assert Federation.model_validate({"local_steps": 3, "algorithm": "fedavg"}).local_steps == 3


@pytest.mark.parametrize(
    "values",
    [
        {"algorithm": "fedavg"},
        {"message": "delta"},
        {"topology": Ring()},
        {"virtual_data": {}},
        {"algorithm": "fedavg", "distillation": {}},
    ],
    ids=str,
)
def test_a_step_of_the_clients_is_refused_only_where_they_make_none(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"local_learning_rate=0\.5\. Set server\.learning_rate, or use fedavg"):
        Federation.model_validate({"local_learning_rate": 0.5})
    assert Federation.model_validate({**values, "local_learning_rate": 0.5}).local_learning_rate == 0.5


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, r"momentum=0\.9 belongs to `optimizer: sgd`"),
        ({"staleness": "constant", "staleness_exponent": 1.0}, r"staleness_exponent=1\.0 is no part of the formula"),
        ({"staleness": "polynomial", "staleness_grace": 2}, "staleness_grace=2 is no part of the formula"),
        ({"staleness": {"method": "first_order"}, "staleness_exponent": 1.0}, r"staleness_exponent=1\.0 is no part"),
        ({"staleness": {"method": "inversion"}, "staleness_grace": 2}, "staleness_grace=2 is no part"),
    ],
    ids=str,
)
def test_settings_of_a_server_that_would_do_nothing_are_refused(server: dict[str, Any], reason: str) -> None:
    mode = {"mode": "asynchronous"} if "staleness" in server else {}
    with pytest.raises(ValidationError, match=reason):
        Server.model_validate({**mode, **server})


def test_settings_of_a_server_that_do_something_are_taken() -> None:
    Server.model_validate({"optimizer": "sgd", "momentum": 0.9})
    formula = {"mode": "asynchronous", "staleness_exponent": 1.0}
    Server.model_validate(formula)
    hinge = Server.model_validate({**formula, "staleness": "hinge", "staleness_grace": 2})
    repaired = {"method": "inversion", "otherwise": "hinge"}
    assert Server.model_validate({**hinge.model_dump(), "staleness": repaired}).staleness_grace == 2


@pytest.mark.parametrize("key", ["clients", "rounds", "local_steps", "batch_size", "evaluate_every"])
def test_numbers_beyond_any_memory_are_refused(key: str) -> None:
    with pytest.raises(ValidationError, match=r"less than or equal to 10{6,7}"):
        Federation.model_validate({"algorithm": "fedavg", key: 10**25})


def test_settings_are_frozen_and_survive_json() -> None:
    settings = Federation.model_validate({"clients": 7, "server": {"optimizer": "adam"}})
    with pytest.raises(ValidationError, match="frozen"):
        settings.clients = 9  # type: ignore[misc]
    assert Federation.model_validate_json(settings.model_dump_json()) == settings
    assert hash(settings) == hash(Federation.model_validate(settings.model_dump()))


@pytest.mark.parametrize("model", [Federation, Server])
def test_every_field_is_described(model: type[Settings]) -> None:
    assert all(field.description for field in model.model_fields.values())


@given(clients=st.integers(1, 200), participation=st.floats(0.001, 1.0), data=st.data())
def test_rows_of_a_round(clients: int, participation: float, data: st.DataObject) -> None:
    settings = Federation.model_validate({"clients": clients, "participation": participation})
    f = data.draw(st.integers(0, clients))
    k, rows = settings.per_round, settings.malicious_rows(f)
    assert 1 <= k <= clients
    assert f * k / clients - 1e-6 <= rows < f * k / clients + 1
    assert rows <= min(f, k)
    assert k - rows <= clients - f
    assert (rows == 0) == (f == 0)


@pytest.mark.parametrize(
    ("clients", "participation", "f", "k", "rows"),
    [(10, 1.0, 3, 10, 3), (10, 0.5, 3, 5, 2), (10, 0.5, 2, 5, 1), (100, 0.1, 30, 10, 3), (3, 0.01, 2, 1, 1)],
)
def test_malicious_rows_are_rounded_up(clients: int, participation: float, f: int, k: int, rows: int) -> None:
    settings = Federation.model_validate({"clients": clients, "participation": participation})
    assert (settings.per_round, settings.malicious_rows(f)) == (k, rows)
