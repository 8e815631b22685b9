"""What attacks on privacy declare is what they get, and what they answer is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from robustfl.errors import AttackError, KnowledgeError
from robustfl.threats import Capability, PrivacyAttack, PrivacyView
from robustfl.threats.privacy.capability import OBSERVERS
from robustfl.threats.privacy.findings import Finding, Labels, Memberships, Reconstruction
from robustfl.threats.privacy.network import Network
from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting

SHAPE, CLASSES = (1, 2, 2), 3


def network() -> Network:
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    return Network(layers, SHAPE, CLASSES)


def facts(**changes: Any) -> PrivacyFacts:
    """Two sightings with everything that an observer could know."""
    model = torch.zeros(network().d)
    seen = [
        Sighting(round=0, client=0, senders=(0,), model=model, message=torch.ones_like(model)),
        Sighting(round=1, client=0, senders=(0,), model=model, message=2 + model, previous=torch.ones_like(model)),
    ]
    samples = torch.rand(4, *SHAPE), torch.tensor([0, 1, 2, 0])
    return replace(
        PrivacyFacts(
            observer="server",
            sightings=seen,
            circumstances=Circumstances(shape=SHAPE, classes=CLASSES),
            network=network(),
            auxiliary=samples,
            labels=torch.tensor([[0], [1]]),
            candidates=samples,
        ),
        **changes,
    )


@dataclass(frozen=True, kw_only=True)
class Looking(PrivacyAttack):
    """Looks at everything that it declares, and at one thing more."""

    observers: ClassVar[tuple[str, ...]] = tuple(OBSERVERS)
    looks: str = "models"

    def infer(self, view: PrivacyView) -> Finding:
        getattr(view, self.looks)
        return Labels(counts=torch.zeros(len(view), view.classes))


def with_knowledge(knowledge: Capability) -> type[Looking]:
    return type("Declared", (Looking,), {"knowledge": knowledge, "__doc__": "Declares."})


NEEDS = {
    "models": Capability.MODEL,
    "messages": Capability.MESSAGE,
    "batch_size": Capability.BATCH_SIZE,
    "learning_rate": Capability.LEARNING_RATE,
    "steps": Capability.STEPS,
    "momentum": Capability.MOMENTUM,
    "labels": Capability.LABELS,
    "auxiliary": Capability.AUX,
    "network": Capability.LOSS,
}


@pytest.mark.parametrize("what", NEEDS)
def test_a_view_hands_out_what_is_declared_and_nothing_else(what: str) -> None:
    everything = Capability.SUM
    for capability in NEEDS.values():
        everything |= capability
    with_knowledge(NEEDS[what])(looks=what).spy(facts())
    with pytest.raises(KnowledgeError, match="needs the capability"):
        with_knowledge(everything & ~NEEDS[what] & ~Capability.SUM)(looks=what).spy(facts())


def test_earlier_messages_need_history() -> None:
    told = Capability.MESSAGE | Capability.HISTORY
    view = with_knowledge(told)().view(facts())
    assert view.previous.unique(dim=1).tolist() == [[0.0], [1.0]]
    with pytest.raises(KnowledgeError, match="'history'"):
        with_knowledge(Capability.MESSAGE)(looks="previous").spy(facts())


def test_a_sum_is_no_single_message() -> None:
    model = torch.zeros(network().d)
    seen = [Sighting(round=0, client=None, senders=(0, 1), model=model, message=model)]
    with pytest.raises(KnowledgeError, match="'sum'"):
        with_knowledge(Capability.MESSAGE)(looks="messages").spy(facts(sightings=seen))
    with_knowledge(Capability.SUM)(looks="messages").spy(facts(sightings=seen))


def test_what_is_seen_becomes_a_mean_gradient() -> None:
    about = Circumstances(shape=SHAPE, classes=CLASSES, message="delta", steps=2, learning_rate=0.5, momentum=0.75)
    plain = Capability.MESSAGE | Capability.LEARNING_RATE | Capability.STEPS
    given = facts(circumstances=about)
    assert with_knowledge(plain)().view(given).gradients()[:, 0].tolist() == [-1.0, -2.0]
    undone = with_knowledge(plain | Capability.MOMENTUM | Capability.HISTORY)().view(given).gradients()
    assert undone[:, 0].tolist() == [-4.0, -(2 - 0.75) / 0.25]
    with pytest.raises(KnowledgeError, match="'learning_rate'"):
        with_knowledge(Capability.MESSAGE)().view(given).gradients()
    model = torch.zeros(network().d)
    seen = [Sighting(round=0, client=None, senders=(0, 1, 2, 3), model=model, message=4 + model)]
    summed = with_knowledge(Capability.SUM)().view(facts(sightings=seen))
    assert summed.gradients()[0, 0] == 1.0


def test_an_observer_limits_what_attacks_can_have() -> None:
    rows, active = with_knowledge(Capability.MESSAGE)(), with_knowledge(Capability.ACTIVE | Capability.SUM)()
    assert [name for name in OBSERVERS if rows.refusal(name) is None] == ["server", "wire", "active"]
    assert [name for name in OBSERVERS if active.refusal(name) is None] == ["active"]
    assert "needs message" in str(rows.refusal("sum"))


ANSWERS: dict[str, tuple[Callable[[PrivacyView], Any], str]] = {
    "too few": (lambda view: Reconstruction(features=[torch.zeros(1, *SHAPE)]), "for each of 2 sightings"),
    "another shape": (lambda view: Reconstruction(features=[torch.zeros(1, 4)] * 2), r"samples \[m, \*\[1, 2, 2\]\]"),
    "labels without samples": (
        lambda view: Reconstruction(features=[torch.zeros(1, *SHAPE)] * 2, labels=[torch.zeros(2)] * 2),
        "one label for each sample",
    ),
    "one certificate": (
        lambda view: Reconstruction(features=[torch.zeros(1, *SHAPE)] * 2, certified=torch.ones(1)),
        r"`certified` \[2\]",
    ),
    "negative counts": (lambda view: Labels(counts=torch.full((2, 3), -1.0)), r"counts \[2, 3\] from 0"),
    "counts that are no numbers": (lambda view: Labels(counts=torch.full((2, 3), torch.nan)), "counts"),
    "scores that are no numbers": (lambda view: Memberships(scores=torch.full((2, 4), torch.nan)), "finite scores"),
    "a tensor": (lambda view: torch.zeros(2, 3), "a Reconstruction, Labels or Memberships"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_another_form_is_refused(name: str) -> None:
    answer, told = ANSWERS[name]
    cls = type("Answering", (PrivacyAttack,), {"infer": lambda self, view: answer(view), "__doc__": "Answers."})
    with pytest.raises(AttackError, match=told):
        cls().spy(facts())


def test_a_network_knows_its_first_and_last_layer() -> None:
    found = network()
    assert found.first is not None
    assert found.last is not None
    flat = torch.arange(float(found.d))
    weight, bias = found.first.of(flat)
    assert torch.equal(weight.flatten(), flat[:20])
    assert torch.equal(bias, flat[20:25])
    assert torch.equal(found.last.of(flat)[1], flat[-3:])
    image = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    assert Network(image, SHAPE, CLASSES).first is None
    turned = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
    assert Network(turned, SHAPE, CLASSES).last is None
    doubled = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    assert Network(doubled, SHAPE, CLASSES).first is None


@pytest.mark.parametrize("steps", [1, 3])
def test_a_network_computes_what_one_step_after_another_gives(steps: int) -> None:
    found, generator = network(), torch.Generator().manual_seed(0)
    weights = torch.randn(2, found.d, generator=generator)
    x = torch.rand(2, steps, 2, *SHAPE, generator=generator)
    y = torch.randint(0, CLASSES, (2, steps, 2), generator=generator)
    expected = []
    for start, features, labels in zip(weights, x, y, strict=True):
        local, total = start, torch.zeros_like(start)
        for batch, classes in zip(features, labels, strict=True):
            leaf = local.clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(found.logits(leaf, batch), classes)
            (slope,) = torch.autograd.grad(loss, leaf)
            total, local = total + slope, local - 0.1 * slope
        expected.append(total / steps)
    torch.testing.assert_close(found.update(weights, x, y, 0.1), torch.stack(expected))
    soft = torch.nn.functional.one_hot(y, CLASSES).float()
    torch.testing.assert_close(found.update(weights, x, soft, 0.1), torch.stack(expected))
