"""Changed training images: each change against a naive one, and that nothing but the seed decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import solve_ivp
from torch import Tensor

from robustfl.errors import ParameterError
from robustfl.federation import Federation
from robustfl.federation.clients.augmentation import Augmenter, flow
from robustfl.federation.settings import Augmentation
from tests.federation.worlds import population, simulation, weights


def augmenter(shape: tuple[int, ...] = (2, 5, 4), **values: Any) -> Augmenter:
    return Augmenter(Augmentation.model_validate(values), shape, 0.0, 1.0)


def images(k: int = 3, batch: int = 6, shape: tuple[int, ...] = (2, 5, 4)) -> Tensor:
    """Images [k, 1, batch, *shape] of which no two values are equal, all above the black of 0."""
    count = k * batch * int(np.prod(shape))
    return (torch.randperm(count, generator=torch.Generator().manual_seed(0)) + 1.0).reshape(k, 1, batch, *shape) / (
        count + 1
    )


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """Pixel by pixel: what comes from outside is black."""
    result = torch.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row + down < height and 0 <= column + right < width:
                result[:, row, column] = image[:, row + down, column + right]
    return result


def test_crops_are_shifts_by_up_to_so_many_pixels_and_all_of_them_occur() -> None:
    given_images = images(k=4, batch=50)
    changed = augmenter(crop=1)(given_images, [1, 2, 3, 4])
    found = set()
    for image, result in zip(given_images.flatten(0, 2), changed.flatten(0, 2), strict=True):
        moves = [(d, r) for d in (-1, 0, 1) for r in (-1, 0, 1) if torch.equal(shifted(image, d, r), result)]
        assert len(moves) == 1
        found.add(moves[0])
    assert len(found) == 9


def test_flips_exchange_left_and_right_of_their_share() -> None:
    given_images = images(k=4, batch=100)
    changed = augmenter(flip=0.3)(given_images, [1, 2, 3, 4])
    mirrored = (changed == given_images.flip(-1)).flatten(3).all(dim=-1)
    same = (changed == given_images).flatten(3).all(dim=-1)
    assert bool((mirrored ^ same).all())
    assert float(mirrored.float().mean()) == pytest.approx(0.3, abs=0.07)
    assert torch.equal(augmenter(flip=1)(given_images, [1, 2, 3, 4]), given_images.flip(-1))


def test_noise_has_its_size_and_stays_in_the_range_of_the_data() -> None:
    grey = torch.full((2, 1, 50, 1, 8, 8), 0.5)
    changed = augmenter((1, 8, 8), noise=0.1)(grey, [1, 2])
    assert float((changed - grey).std()) == pytest.approx(0.1, rel=0.05)
    loud = augmenter((1, 8, 8), noise=5.0)(grey, [1, 2])
    assert (float(loud.min()), float(loud.max())) == (0.0, 1.0)


@pytest.mark.parametrize("share", [1 / 3, 0.5, 1.0])
def test_a_share_of_the_images_is_changed_and_the_rest_is_not(share: float) -> None:
    given_images = images(k=4, batch=150)
    changed = augmenter(noise=0.1, share=share)(given_images, [1, 2, 3, 4])
    touched = (changed != given_images).flatten(3).any(dim=-1).float()
    assert float(touched.mean()) == pytest.approx(share, abs=0.07)


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-4, 4), y=st.floats(-4, 4), time=st.floats(0, 0.1))
def test_the_flow_solves_the_equations_of_lotka_and_volterra(x: float, y: float, time: float) -> None:
    def speed(_: float, at: Any) -> list[float]:
        return [2 / 3 * at[0] - 4 / 3 * at[0] * at[1], at[0] * at[1] - at[1]]

    expected = solve_ivp(speed, (0, time), [x, y], rtol=1e-9, atol=1e-9).y[:, -1] if time else [x, y]
    found = flow(np.array([x]), np.array([y]), np.array([time]))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-3, atol=1e-3)


def test_a_warp_takes_every_pixel_from_another_place_or_from_outside() -> None:
    given_images = images(batch=30, shape=(1, 8, 8))
    changed = augmenter((1, 8, 8), warp=0.2)(given_images, [1, 2, 3])
    for image, result in zip(given_images.flatten(0, 2), changed.flatten(0, 2), strict=True):
        assert set(result.flatten().tolist()) <= set(image.flatten().tolist()) | {0.0}
    assert float((changed != given_images).float().mean()) > 0.3
    middle = (changed == given_images)[..., 3:5, 3:5].float().mean()
    assert float(middle) > 0.9  # the flow stands still at the centre


def test_a_warp_that_throws_pixels_to_infinity_leaves_black_and_no_nan() -> None:
    changed = augmenter((1, 64, 64), warp=1.0)(images(1, 4, (1, 64, 64)), [1])
    assert bool(changed.isfinite().all())
    assert float((changed == 0).float().mean()) > 0.2


EVERYTHING: dict[str, Any] = {"crop": 1, "flip": 0.5, "warp": 0.05, "noise": 0.1, "share": 0.8}


@given(order=st.permutations(range(4)))
@settings(max_examples=10, deadline=None)
def test_a_client_gets_the_same_whoever_else_is_computed(order: list[int]) -> None:
    given_images, seeds, change = images(k=4), [5, 6, 7, 8], augmenter(**EVERYTHING)
    together = change(given_images, seeds)
    assert torch.equal(change(given_images[order], [seeds[i] for i in order]), together[order])
    alone = torch.cat([change(given_images[i : i + 1], seeds[i : i + 1]) for i in range(4)])
    assert torch.equal(alone, together)
    assert not torch.equal(change(given_images, [5, 6, 7, 9])[3], together[3])


def test_one_setting_does_not_change_what_another_one_draws() -> None:
    given_images = images(batch=40)
    moved = augmenter(crop=1)(given_images, [1, 2, 3])
    both = augmenter(crop=1, noise=1e-3)(given_images, [1, 2, 3])
    assert torch.allclose(both, moved, atol=0.01)


def test_given_images_stay() -> None:
    given_images = images()
    kept = given_images.clone()
    augmenter(**EVERYTHING)(given_images, [1, 2, 3])
    assert torch.equal(given_images, kept)


# -- in a federation


def played(**values: Any) -> Tensor:
    sim = simulation(**values)
    sim.run()
    return weights(sim)


def test_a_change_of_nothing_changes_no_bit_and_a_change_changes_the_model() -> None:
    plain = played()
    assert torch.equal(played(augment={"crop": 0, "noise": 0.0}), plain)
    assert not torch.equal(played(augment={"noise": 0.1}), plain)
    assert torch.equal(played(augment={"noise": 0.1}), played(augment={"noise": 0.1}))
    assert not torch.equal(played(augment={"noise": 0.1}, seed=1), played(augment={"noise": 0.1}))


def test_both_trainers_see_the_same_images() -> None:
    values: dict[str, Any] = {"augment": EVERYTHING, "algorithm": "fedavg", "local_steps": 2}
    vmapped, looped = (played(client_mode=mode, **values) for mode in ("vmap", "loop"))
    assert torch.allclose(vmapped, looped, atol=1e-5)


def test_black_is_the_darkest_value_of_the_data() -> None:
    made = population()
    sim = simulation(world=made, augment={"crop": 3})
    features, _ = sim.setup.members.hardened(torch.full((6, 1, 50, 1, 4, 4), 2.0), np.arange(6))
    assert set(features.flatten().tolist()) == {2.0, float(made.features.min())}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "names no change of the images"),
        ({"share": 0.5}, "names no change of the images"),
        ({"crop": -1}, "greater than or equal to 0"),
        ({"crop": 1.5}, "integer"),
        ({"flip": 1.5}, "less than or equal to 1"),
        ({"noise": float("nan")}, "finite"),
        ({"noise": -0.1}, "greater than or equal to 0"),
        ({"warp": 2}, "less than or equal to 1"),
        ({"noise": 0.1, "share": 0}, "greater than 0"),
        ({"noise": True}, "should be a number"),
        ({"rotate": 3}, "not permitted"),
    ],
    ids=str,
)
def test_hostile_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Federation.model_validate({"augment": values})


def test_only_images_can_be_augmented_and_not_moved_out_of_sight() -> None:
    with pytest.raises(ParameterError, match=r"changes images .* Found samples of shape \[30\]"):
        augmenter((30,), noise=0.1)
    with pytest.raises(ParameterError, match=r"crop < height and width. Found crop=4 with images of 5 x 4"):
        augmenter(crop=4)
    with pytest.raises(ParameterError, match="crop < height and width"):
        simulation(augment={"crop": 4})
