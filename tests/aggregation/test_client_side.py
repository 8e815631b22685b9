"""What clients send in place of their updates: kept shares, levels, lengths, and what the adaptive attacker matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Size, Tensor

from robustfl.aggregation import ClientSide
from robustfl.aggregation.client_side import places
from robustfl.defenses import (
    NNM,
    GradientNoise,
    GradientPruning,
    GradientQuantisation,
    Mean,
    Median,
    Mixup,
    Soteria,
)
from robustfl.errors import ParameterError

SHAPES = {"0.weight": Size([3, 4]), "0.bias": Size([3]), "1.weight": Size([5, 8]), "1.bias": Size([1])}
D = 12 + 3 + 40 + 1
PARTS = list(places(SHAPES).values())
EVERY = [GradientNoise(ratio=0.5), GradientPruning(share=0.5), GradientQuantisation(), Mixup(), Soteria()]
EVERY += [GradientQuantisation(bits=bits, rounding="stochastic") for bits in (1, 3)]
each = pytest.mark.parametrize("stage", EVERY, ids=repr)


def messages(k: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(k, D, generator=torch.Generator().manual_seed(seed))


def rngs(k: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(k)]


def sent(stage: ClientSide, given: Tensor, seed: int = 0) -> Tensor:
    return stage.message(given, SHAPES, rngs(len(given), seed))


def test_places_follow_each_other() -> None:
    assert [slice(0, 12), slice(12, 15), slice(15, 55), slice(55, 56)] == PARTS


@each
def test_a_client_depends_on_its_own_update_and_draws_alone_and_nothing_is_changed_in_place(stage: ClientSide) -> None:
    given = messages()
    kept = given.clone()
    together = sent(stage, given)
    assert torch.equal(given, kept)
    assert together.shape == given.shape
    assert together.dtype == given.dtype
    alone = [stage.message(given[i : i + 1], SHAPES, rngs(3)[i : i + 1])[0] for i in range(3)]
    torch.testing.assert_close(together, torch.stack(alone))
    assert sent(stage, given[:0]).shape == (0, D)


@each
def test_zeros_stay_zeros(stage: ClientSide) -> None:
    assert not sent(stage, torch.zeros(2, D)).any()


@each
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_reaches_the_server_and_no_other_client(stage: ClientSide, bad: float) -> None:
    given = messages()
    given[1, 17] = bad
    found = sent(stage, given)
    assert not found[1].isfinite().all()
    assert found[[0, 2]].isfinite().all()


@each
def test_huge_updates_stay_finite_where_their_length_is(stage: ClientSide) -> None:
    given = messages().clamp(-3, 3) * 1e36
    assert sent(stage, given).isfinite().all()


@pytest.mark.parametrize("ratio", [0.0, 0.1, 3.0])
def test_noise_is_as_long_as_the_ratio_says_and_centred(ratio: float) -> None:
    width = 20_000
    given = torch.randn(2, width, generator=torch.Generator().manual_seed(1)) * torch.tensor([[0.01], [100.0]])
    noise = GradientNoise(ratio=ratio).message(given, {"all": Size([width])}, rngs(2)) - given
    # the length of such a noise has a standard deviation of 1/sqrt(2 d) of itself
    torch.testing.assert_close(noise.norm(dim=1), ratio * given.norm(dim=1), rtol=5 / (2 * width) ** 0.5, atol=1e-6)
    cosines = torch.nn.functional.cosine_similarity(noise, given)
    assert float(cosines.abs().max()) < 5 / width**0.5
    assert float(torch.nn.functional.cosine_similarity(noise[:1], noise[1:]).abs()) < 5 / width**0.5


def test_noise_is_no_differential_privacy_and_says_so() -> None:
    assert "not differential privacy" in str(GradientNoise.__doc__)
    assert "no differential privacy" in GradientNoise.guarantee
    far = GradientNoise(ratio=1.0).message(messages() * 1e3, SHAPES, rngs(3)) - messages() * 1e3
    near = GradientNoise(ratio=1.0).message(messages(), SHAPES, rngs(3)) - messages()
    torch.testing.assert_close(far, 1e3 * near, rtol=1e-3, atol=1e-2)  # an update's length leaks through its noise


@pytest.mark.parametrize(("share", "zeros"), [(0.0, 0), (0.29, 0 + 11 + 3), (0.5, 1 + 20 + 6), (0.99, 2 + 39 + 11)])
def test_pruning_cuts_the_smallest_values_of_each_tensor(share: float, zeros: int) -> None:
    given = messages()
    found = sent(GradientPruning(share=share), given)
    assert (found == 0).sum(dim=1).tolist() == [zeros] * 3
    for row, pruned in zip(given, found, strict=True):
        for part in PARTS:
            kept = pruned[part] != 0
            assert torch.equal(pruned[part][kept], row[part][kept])
            assert kept.any(), "every tensor keeps a value"
            if not kept.all():
                assert row[part][~kept].abs().max() <= row[part][kept].abs().min()


def test_pruning_of_equal_values_cuts_the_earlier_and_counts_exactly() -> None:
    shapes = {"all": Size([100])}
    found = GradientPruning(share=0.29).message(torch.ones(1, 100), shapes, rngs(1))
    assert found[0].tolist() == [0.0] * 29 + [1.0] * 71


def test_who_knows_the_pruning_matches_what_was_kept_and_the_excess_over_the_smallest_of_it() -> None:
    stage = GradientPruning(share=0.5)
    message = sent(stage, messages())[0]
    bounds = stage.kept_magnitudes(message, SHAPES)
    for part in PARTS:
        assert (bounds[part] == message[part][message[part] != 0].abs().min()).all()
    true = messages()[0]
    assert torch.equal(stage.imitated(true, message, SHAPES), message), "the true gradient fits perfectly"
    guess = (10 * true).requires_grad_()
    compared = stage.imitated(guess, message, SHAPES)
    cut = message == 0
    assert torch.equal(compared[~cut], guess[~cut])
    torch.testing.assert_close(compared[cut].abs(), (guess[cut].abs() - bounds[cut]).clamp(min=0))
    (slope,) = torch.autograd.grad(compared.sum(), guess)
    assert slope[~cut].all()
    assert torch.equal(slope[cut] != 0, guess[cut].abs() > bounds[cut])
    assert torch.equal(stage.imitated(guess, torch.zeros(D), SHAPES), guess), "no value is known to be small"


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_quantised_values_lie_on_the_levels(bits: int, rounding: str) -> None:
    given = messages(k=4)
    found = sent(GradientQuantisation(bits=bits, rounding=rounding), given)  # type: ignore[arg-type]
    for part in PARTS:
        scale = given[:, part].abs().amax(dim=1, keepdim=True)
        if bits == 1:
            unit = scale if rounding == "stochastic" else given[:, part].abs().mean(dim=1, keepdim=True)
            torch.testing.assert_close(found[:, part].abs(), unit.expand_as(found[:, part]))
            continue
        steps = 2 ** (bits - 1) - 1
        whole = found[:, part] / scale * steps
        torch.testing.assert_close(whole, whole.round(), atol=1e-4, rtol=0)
        assert int(whole.abs().round().max()) == steps, "the largest value is a level"
        error = (found[:, part] - given[:, part]).abs() / (scale / steps)
        assert float(error.max()) <= (0.5 if rounding == "nearest" else 1.0) + 1e-4


@pytest.mark.parametrize("stage", [GradientPruning(share=0.5), GradientQuantisation(bits=3)], ids=repr)
def test_a_message_may_be_treated_as_one_tensor(stage: GradientPruning | GradientQuantisation) -> None:
    given, whole = messages(), {"all": Size([D])}
    expected = stage.message(given, whole, rngs(3))
    other = replace(stage, scope="message")
    assert torch.equal(sent(other, given), expected)
    assert not torch.equal(sent(stage, given), expected)
    guess = 3 * given[1]
    compared = other.imitated(guess, expected[0], SHAPES)
    assert torch.equal(compared, stage.imitated(guess, expected[0], whole))


def test_one_bit_keeps_signs_and_zeros() -> None:
    found = GradientQuantisation(bits=1).message(torch.tensor([[2.0, -1.0, 0.0, 1.0]]), {"w": Size([4])}, rngs(1))
    assert found.tolist() == [[1.0, -1.0, 0.0, 1.0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_stochastic_rounding_is_unbiased(bits: int) -> None:
    given, times = messages(k=1), 4_000
    stage = GradientQuantisation(bits=bits, rounding="stochastic")
    found = stage.message(given.expand(times, D), SHAPES, rngs(times)).double()
    # a level is at most 2 s / max(1, 2^(b-1) - 1) away, and a rounding's deviation at most half of that
    worst = torch.cat([given[0, part].abs().max().expand(part.stop - part.start) for part in PARTS])
    deviation = worst / max(1, 2 ** (bits - 1) - 1) / times**0.5
    assert ((found.mean(dim=0) - given[0].double()).abs() <= 5 * deviation + 1e-6).all()
    nearest = sent(GradientQuantisation(bits=bits), given)[0]
    assert ((nearest - given[0]).abs() > 5 * deviation + 1e-6).any(), "rounding to the nearest is not"


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_who_knows_the_rounding_rounds_as_well_and_keeps_the_derivative(bits: int) -> None:
    stage = GradientQuantisation(bits=bits)
    guess = messages(k=1, seed=4)[0].requires_grad_()
    compared = stage.imitated(guess, messages()[0], SHAPES)
    torch.testing.assert_close(compared, sent(stage, guess.detach()[None])[0])
    (slope,) = torch.autograd.grad((compared * torch.arange(D)).sum(), guess)
    assert torch.equal(slope, torch.arange(D).to(slope))
    assert stage.imitated(torch.stack([guess, guess]), messages()[0], SHAPES).shape == (2, D)


def test_who_knows_soteria_leaves_out_the_columns_that_are_zero() -> None:
    stage, message = Soteria(share=0.5), messages()[0]
    assert stage.protected(SHAPES) == "0.weight"
    matrix = message[PARTS[0]].reshape(3, 4)
    matrix[:, [0, 2]] = 0
    guess = torch.ones(D)
    compared = stage.imitated(guess, message, SHAPES)
    assert compared[PARTS[0]].reshape(3, 4).tolist() == [[0, 1, 0, 1]] * 3
    assert compared[12:].all()
    with pytest.raises(ParameterError, match="there is none"):
        stage.protected({"bias": Size([3])})


@pytest.mark.parametrize("stage", [GradientNoise(), Mixup()], ids=repr)
def test_nothing_is_gained_by_knowing_some_defenses(stage: ClientSide) -> None:
    guess = messages()[0]
    assert stage.imitated(guess, messages(seed=1)[0], SHAPES) is guess


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_mixup_draws_a_permutation_and_one_share_a_batch(alpha: float) -> None:
    stage, rng = Mixup(alpha=alpha), np.random.default_rng(0)
    shares = []
    for _ in range(2_000):
        drawn = stage.drawn(rng, 4)
        assert sorted(drawn[:, 0]) == [0, 1, 2, 3]
        assert len(set(drawn[:, 1])) == 1
        shares.append(drawn[0, 1])
    assert abs(np.mean(shares) - 0.5) < 5 * np.sqrt(0.25 / (2 * alpha + 1) / 2_000)
    assert np.var(shares) == pytest.approx(0.25 / (2 * alpha + 1), rel=0.1)


def test_mixup_mixes_samples_and_labels_and_hands_on_the_other_draws() -> None:
    given: list[Sequence[Tensor | None]] = []

    def plain(parameters: dict[str, Tensor], x: Tensor, y: Tensor, draws: Tensor | None) -> Tensor:
        given.append((x, y, draws))
        return x.sum()

    objective = Mixup().objective(plain, 3)
    x, y = torch.tensor([[0.0], [4.0]]), torch.tensor([2, 0])
    draws = torch.tensor([[1.0, 0.75, 7.0], [0.0, 0.75, 8.0]])
    objective({}, x, y, draws)
    objective({}, x, y, draws[:, :2])
    objective({}, x, y, None)
    mixed, chances, rest = given[0]
    assert mixed is not None
    assert chances is not None
    assert rest is not None
    assert mixed.tolist() == [[1.0], [3.0]]
    assert chances.tolist() == [[0.25, 0, 0.75], [0.75, 0, 0.25]]
    assert rest.tolist() == [[7.0], [8.0]]
    assert given[1][2] is None
    assert given[2][0] is x


def test_the_servers_part_is_empty_and_comes_before_rows_are_mixed() -> None:
    rows = messages(k=5).numpy()
    chain = GradientNoise(ratio=9) >> GradientPruning() >> Median()
    np.testing.assert_array_equal(chain(rows), Median()(rows))
    assert [type(stage).__name__ for stage in chain.client_side] == ["GradientNoise", "GradientPruning"]
    assert (NNM(f=1) >> Median()).client_side == ()
    with pytest.raises(ParameterError, match=r"carried out by clients.* Put it first"):
        (NNM(f=1) >> GradientNoise() >> Mean())(rows)
