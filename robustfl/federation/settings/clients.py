"""What clients do besides plain training: they change their samples, distil, or make virtual ones."""

from __future__ import annotations

from typing import Annotated, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Strict, model_validator

from robustfl.federation.settings.base import Settings


class Augmentation(Settings):
    """How clients change their training images; the changes are drawn again for every image of every batch."""

    crop: Annotated[int, Ge(0)] = 0
    """The largest number of pixels by which an image moves, up or down and left or right; black comes in from the
    edge."""
    flip: Annotated[float, Ge(0), Le(1)] = 0.0
    """The probability that left and right are exchanged."""
    warp: Annotated[float, Ge(0), Le(1)] = 0.0
    """The longest time for which pixels move along the flow of Lotka and Volterra; the coordinates of the flow are
    pixels from the centre. At 0.01 a corner of a 32 x 32 image moves by about 3 pixels; at 0.1 a corner of an 8 x 8
    image moves by 2."""
    noise: Annotated[float, Ge(0)] = 0.0
    """The standard deviation of the Gaussian noise on every value of an image, in the units of the data (mostly 0 to
    1)."""
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    """The share of the images that are changed at all; chance decides for each image."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set - {"share"}:
            raise ValueError("names no change of the images: give `crop`, `flip`, `warp` or `noise`, or leave it out")
        return self


class AdversarialTraining(Settings):
    """Clients learn from samples that they have first made as hard as possible by signed steps that raise the loss."""

    epsilon: Annotated[float, Gt(0)]
    """The largest change of a feature, in the units of the data (mostly 0 to 1)."""
    steps: Annotated[int, Ge(1), Le(1000)] = 7
    """The number of steps that raise the loss of each batch."""
    step_size: Annotated[float, Gt(0), Strict()] | None = None
    """The length of a step in each feature; it is 2.5 epsilon / steps when it is not given."""
    random_start: bool = True
    """Whether the search starts at a random place within epsilon, or at the sample itself."""


class Distillation(Settings):
    """How clients with models of their own learn from each other: they exchange what they predict, and no weights."""

    public_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    """The share of the training samples that is public: everybody has these samples, nobody has their labels, and no
    client has them among its own samples. They are a random choice; the test set is never touched."""
    steps: Annotated[int, Ge(1), Le(10_000)] = 10
    """The number of SGD steps, at `local_learning_rate`, in which a client learns what the server has answered."""
    batch_size: Annotated[int, Ge(1)] = 64
    """The number of public samples in such a step; all of them if there are fewer."""
    temperature: Annotated[float, Gt(0), Le(100)] = 1.0
    """The temperature T of what clients send, the softmax of logits / T, and of what they learn: T^2 times the
    divergence of Kullback and Leibler from the answer."""
    own_weight: Annotated[float, Ge(0), Le(100)] = 1.0
    """The weight of the cross-entropy on the client's own batches of the round in these steps; it keeps a client from
    forgetting what only its own samples show."""


class VirtualData(Settings):
    """How clients make the few synthetic samples that they send in place of updates."""

    samples: Annotated[int, Ge(1), Le(10_000)] = 10
    """The number of samples that a client sends in a round; their labels are in the proportions of its batches of the
    round."""
    steps: Annotated[int, Ge(1), Le(100_000)] = 40
    """The number of steps in which a client makes its samples, from noise."""
    learning_rate: Annotated[float, Gt(0)] = 0.1
    """The size of these steps, in units of the range of the data; it falls to a tenth at 3/8, 5/8 and 7/8 of them."""
