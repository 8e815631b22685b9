"""Images as frozen layers see them: the same for everybody, standardised, and without what nobody may know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.errors import DataError, ParameterError
from robustfl.federation.data.data_sets import Digits, Transferred
from robustfl.federation.data.transferred import _one_thread
from tests.federation.test_divided_data import write_idx

TURNED: dict[str, Any] = {"source": "rotations", "public": 247, "width": 24, "epochs": 1}


def test_features_are_standardised_and_public_images_are_nobodys() -> None:
    made, digits = Transferred(**TURNED).load(), Digits().load()
    assert (made.train_x.shape, made.test_x.shape, made.input_shape) == ((1100, 24), (450, 24), (24,))
    np.testing.assert_allclose(made.train_x.mean(axis=0), 0.0, atol=1e-4)
    spread = made.train_x.std(axis=0)
    assert ((np.abs(spread - 1.0) < 1e-3) | (spread < 1e-3)).all()
    assert (spread > 0.5).sum() > 12
    np.testing.assert_array_equal(made.test_y, digits.test_y)
    public = np.random.default_rng(0).permutation(1347)[:247]
    np.testing.assert_array_equal(made.train_y, np.delete(digits.train_y, public))
    assert made.notes == (
        "Samples are features of digits, by layers that were trained for how images were turned on 988 images.",
    )


def test_the_layers_are_those_of_a_network_that_learnt_how_images_are_turned() -> None:
    rule = Transferred(**{**TURNED, "epochs": 40, "width": 64})
    images, labels, kept = rule._lesson(Digits().load(), ())
    assert (len(images), labels.bincount().tolist(), len(kept)) == (4 * 247, [247] * 4, 1100)
    torch.testing.assert_close(images[247], images[0].rot90(1, (-2, -1)))
    with _one_thread():
        layers = rule._trained(images, labels)
    inside = np.pad(layers(images).detach().double().numpy(), ((0, 0), (0, 1)), constant_values=1.0)
    target = torch.nn.functional.one_hot(labels).double().numpy()
    fitted = np.linalg.lstsq(inside, target, rcond=1e-6)[0]  # some units are silent: of all solutions the shortest
    assert ((inside @ fitted).argmax(axis=1) == labels.numpy()).mean() > 0.85


@pytest.mark.parametrize("more", [{}, {"channels": (3, 5)}])
def test_an_outline_has_everything_but_the_features_and_nothing_is_trained_for_it(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Transferred(**TURNED, **more)
    made = rule.load()
    monkeypatch.setattr(Transferred, "_trained", None)
    outline = rule.outline()
    for name in ("name", "input_shape", "classes", "owners", "notes"):
        assert getattr(outline, name) == getattr(made, name)
    assert (outline.train_x.shape, outline.test_x.shape) == (made.train_x.shape, made.test_x.shape)
    np.testing.assert_array_equal(outline.train_y, made.train_y)
    np.testing.assert_array_equal(outline.test_y, made.test_y)


def test_it_is_the_same_to_the_last_bit_whenever_it_is_made_and_with_any_number_of_threads() -> None:
    rule, threads = Transferred(**TURNED), torch.get_num_threads()
    first = rule._read(())
    try:
        torch.set_num_threads(3)
        again = rule._read(())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(first.train_x, again.train_x)
    np.testing.assert_array_equal(first.test_x, again.test_x)
    assert not np.array_equal(Transferred(**TURNED, seed=1)._read(()).train_x, first.train_x)


@pytest.mark.parametrize("channels", [(), (3,)], ids=["dense", "convolutions"])
def test_layers_that_learnt_clothing_see_digits(tmp_path: Path, channels: tuple[int, ...]) -> None:
    write_idx(tmp_path / "fashion-mnist")
    made = Transferred(width=7, channels=channels, epochs=1).load(tmp_path)
    assert made.input_shape == (3 * 4 * 4 if channels else 7,)
    assert len(made.train_y) == 1347
    assert "trained for fashion_mnist on 40 images" in made.notes[0]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"`source` should be other data .* Take `source: rotations`"):
        Transferred(of="fashion_mnist")
    with pytest.raises(DataError, match=r"`public` should satisfy public < 1347.* Found public=8000\. Use fewer"):
        Transferred(source="rotations").load()
    write_idx(tmp_path / "fashion-mnist")
    with pytest.raises(DataError, match=r"should be square\. Found 4 x 3"):
        Transferred(of="fashion_mnist", source="rotations", public=10).load(tmp_path)
