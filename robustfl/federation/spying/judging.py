"""What an attack on privacy has found, as measures, with the controls that such numbers need to mean anything.

Two controls stand beside every reconstruction. The *noise* control is the same attack on messages of Gaussian noise of
the same norm: what it seems to recover is the attack's own habit. The *prior* control hands in as many random training
images of other clients: what it seems to recover is how alike the images are. A share phi counts above the larger
control c only, ``max(0, phi - c) / (1 - c)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.errors import AttackError
from robustfl.federation.spying.gathering import Gathering, Seen
from robustfl.federation.spying.matching import Matched, matched, recognised, scaled, ssim
from robustfl.federation.streams import stream
from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Labels, Reconstruction
from robustfl.threats.privacy.view import PrivacyFacts

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population

Floats = NDArray[np.float64]

RECOVERED = 20.0
"""From this PSNR in dB a sample counts as recovered."""

LEVELS = (15.0, RECOVERED, 25.0)

EXACT = 40.0
"""Below this PSNR in dB a certificate of an exact sample was wrong; the rounding of messages leaves much more."""

PRIOR_DRAWS = 8


@dataclass(kw_only=True)
class Verdict:
    """The measures of one attack by name, for each sighting, and the pairs that a picture can show.

    A share of `controls` belongs to the measure of the same name. `handed` counts the samples that are handed in for
    each sighting.
    """

    attack: PrivacyAttack
    rounds: tuple[int, ...]
    values: list[dict[str, float]]
    controls: list[dict[str, float]] = field(default_factory=list)
    pairs: list[Matched] = field(default_factory=list)
    handed: list[int] = field(default_factory=list)
    oracle: bool = False

    def summary(self, number: int | None = None) -> dict[str, float]:
        """The means over all sightings, or over those of one round."""
        chosen = [place for place, found in enumerate(self.rounds) if number in (None, found)]
        told = _means([self.values[place] for place in chosen])
        if self.controls:
            control = _means([self.controls[place] for place in chosen])
            noise, prior = control.get(f"noise_{RECOVERED:g}", 0.0), control[f"prior_{RECOVERED:g}"]
            worst = max(noise, prior)
            told["reconstructed_control"] = worst
            told["reconstructed"] = (
                max(0.0, told[f"reconstructed_{RECOVERED:g}"] - worst) / (1.0 - worst) if worst < 1 else 0.0
            )
        return told

    def recognition(self, samples: int) -> dict[str, float]:
        """How sure the share of identified samples is, and what it would be without any message.

        Formula: the standard error is that over the k sightings, and is absent for one. Whoever has seen nothing of a
        batch and hands in m samples points at m of the N training samples at most, so it recognises a sample of the
        batch with a probability of at most m/N: those of the batch are any others to it. The largest m counts.
        """
        if not self.handed:
            return {}
        shares = np.array([found["identified"] for found in self.values])
        told = {"identified_prior": min(1.0, max(self.handed) / samples), "identified_messages": float(len(shares))}
        if len(shares) > 1:
            told["identified_error"] = float(shares.std(ddof=1) / np.sqrt(len(shares)))
        return told


class Judge:
    """Compares what attacks find with the truth.

    Parameters
    ----------
    gathering : what was seen, and the truth
    population : whose training samples are the ones among which a sample is recognised
    seed : decides the controls
    """

    def __init__(self, gathering: Gathering, population: Population, seed: int) -> None:
        self._gathering, self._population, self._seed = gathering, population, seed
        self._everything = self._scaled(population.features)

    @property
    def samples(self) -> int:
        """The number N of training samples among which one is recognised."""
        return len(self._everything)

    def verdict(self, attack: PrivacyAttack) -> Verdict | None:
        """What an attack has found; None if it saw nothing."""
        seen = self._gathering.seen(attack)
        if not seen:
            return None
        facts = self._gathering.facts(attack, seen)
        finding = attack.spy(facts)
        found = Verdict(
            attack=attack,
            rounds=tuple(sighting.round for sighting, _ in seen),
            values=[{} for _ in seen],
            oracle=Capability.LABELS in attack.required_knowledge(),
        )
        if isinstance(finding, Reconstruction):
            self._reconstructed(found, finding, seen, facts)
        elif isinstance(finding, Labels):
            for values, counts, (_, truth) in zip(found.values, finding.counts, seen, strict=True):
                values |= self._labelled(counts, truth.labels)
        else:
            raise AttackError(
                f"{attack!r} speaks of members. Declare `judges_members = True`, so that it gets candidates."
            )
        for values, consistency in zip(found.values, self._consistency(attack, facts, seen), strict=True):
            values |= {} if consistency is None else {"self_consistency": consistency}
        return found

    def _reconstructed(self, found: Verdict, finding: Reconstruction, seen: list[Seen], facts: PrivacyFacts) -> None:
        found.oracle |= finding.oracle_rows
        for place, (sighting, truth) in enumerate(seen):
            samples = finding.features[place]
            handed = samples if finding.oracle_rows else samples[: len(truth.features)]
            pairs = self._matched(handed, truth.features)
            found.pairs.append(pairs)
            found.handed.append(len(handed))
            values = found.values[place]
            values |= {f"reconstructed_{level:g}": pairs.share(level) for level in LEVELS}
            values |= {"psnr": float(pairs.psnr.mean()), "identified": recognised(pairs, self._everything)}
            if self._gathering.about.images:
                values["ssim"] = float(_similarity(pairs).mean())
            if finding.certified is not None:
                sure = min(int(finding.certified[place]), len(handed))
                held = (pairs.places >= 0) & (pairs.places < sure)
                values["certified"] = float(held.double().mean())
                values["wrongly_certified"] = float((held & (pairs.psnr < EXACT)).double().mean())
            if finding.labels is not None:
                counts = torch.bincount(finding.labels[place][: len(truth.labels)], minlength=facts.network.classes)
                values |= self._labelled(counts, truth.labels)
            found.controls.append(self._prior(len(handed), truth.features, sighting.senders, place))
        self._noise(found, seen, facts)

    def _prior(self, count: int, originals: Tensor, senders: Sequence[int], place: int) -> dict[str, float]:
        """The shares that random training images of other clients seem to recover."""
        rng = stream(self._seed, f"privacy prior {place}")
        others = self._population.others(np.array(senders, dtype=np.int64))
        if not len(others):
            return {f"prior_{level:g}": 0.0 for level in LEVELS}
        draws = [
            self._matched(self._population.features[torch.as_tensor(rng.choice(others, count))], originals)
            for _ in range(PRIOR_DRAWS)
        ]
        return {f"prior_{level:g}": float(np.mean([pairs.share(level) for pairs in draws])) for level in LEVELS}

    def _noise(self, found: Verdict, seen: list[Seen], facts: PrivacyFacts) -> None:
        """Add the noise control, which is played on the first sighting of each round."""
        first = [found.rounds.index(number) for number in dict.fromkeys(found.rounds)]
        rng = stream(self._seed, f"privacy noise control {found.attack!r}")
        noisy = []
        for place in first:
            sighting, truth = seen[place]
            message = sighting.message
            if message is None:
                continue
            noise, sent = _noise_like(message, rng), sighting.samples
            sent = None if sent is None else (_noise_like(sent[0], rng), sent[1])
            noisy.append((place, (dataclasses.replace(sighting, message=noise, samples=sent), truth)))
        if not noisy:
            return
        finding = found.attack.spy(self._gathering.facts(found.attack, [one for _, one in noisy]))
        assert isinstance(finding, Reconstruction)
        for (place, (_, truth)), samples in zip(noisy, finding.features, strict=True):
            handed = samples if finding.oracle_rows else samples[: len(truth.features)]
            pairs = self._matched(handed, truth.features)
            found.controls[place] |= {f"noise_{level:g}": pairs.share(level) for level in LEVELS}

    def _labelled(self, counts: Tensor, labels: Tensor) -> dict[str, float]:
        """The share of labels that is right, ``1 - sum |counts - true| / 2n``, and what uniform guesses would reach."""
        true = torch.bincount(labels, minlength=len(counts)).cpu().numpy()
        guess, n = counts.double().cpu().numpy(), max(1, len(labels))
        uniform = stream(self._seed, "privacy label chance").multinomial(n, np.full(len(true), 1 / len(true)), size=200)
        return {
            "label_accuracy": max(0.0, 1.0 - float(np.abs(guess - true).sum()) / (2 * n)),
            "label_chance": 1.0 - float(np.abs(uniform - true).sum(axis=1).mean()) / (2 * n),
        }

    def _consistency(self, attack: PrivacyAttack, facts: PrivacyFacts, seen: list[Seen]) -> list[float | None]:
        """How badly the true samples explain what an attack takes for the gradient, 1 - cos; None if that says nothing.

        Sums over several local steps and messages out of which one client is singled out are left out.
        """
        about, capability = self._gathering.about, attack.required_knowledge()
        reads = attack.explains and capability & (Capability.MESSAGE | Capability.SUM)
        if not reads or attack.one_sender() or any(s.message is None for s, _ in seen):
            return [None] * len(seen)
        given = attack.view(facts).gradients().double()
        found: list[float | None] = []
        for (sighting, truth), gradient in zip(seen, given, strict=True):
            if len(sighting.senders) > 1 and about.steps > 1:
                found.append(None)
                continue
            shape = (1, about.steps, len(truth.labels) // about.steps)
            true = self._gathering.network.update(
                sighting.model[None],
                truth.features.reshape(*shape, *about.shape),
                truth.labels.reshape(shape),
                about.learning_rate,
            )[0].double()
            cosine = torch.dot(true, gradient) / (true.norm() * gradient.norm())
            found.append(float(1.0 - cosine) if bool(cosine.isfinite()) else None)
        return found

    def _matched(self, found: Tensor, originals: Tensor) -> Matched:
        return matched(found, originals, self._gathering.about.low, self._gathering.about.high)

    def _scaled(self, features: Tensor) -> Tensor:
        return scaled(features, self._gathering.about.low, self._gathering.about.high)


def _noise_like(values: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussian noise of the shape and the norm of some values."""
    noise = values.new_tensor(rng.standard_normal(values.numel())).reshape(values.shape)
    scaled: Tensor = noise * (values.norm() / noise.norm())
    return scaled


def _similarity(pairs: Matched) -> Tensor:
    """SSIM of each original with its reconstruction; 0 where there is none."""
    has = pairs.places >= 0
    values = torch.zeros(len(has), dtype=torch.float64)
    if bool(has.any()):
        values[has] = ssim(pairs.found[has], pairs.originals[has]).cpu()
    return values


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
