"""The settings of a network without a server."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import Strict

from robustfl.federation.settings.base import Settings
from robustfl.graphs.weights import Weighting


class Peers(Settings):
    """How peers mix their models in a network without a server.

    Several mixings in a round are those of Shi et al., Improving the Model Consistency of Decentralized Federated
    Learning, ICML 2023 (DFedSAM-MGS, with `sharpness_radius`); one merging of all models in the end is that of Zhu et
    al., On the Surprising Effectiveness of a Single Global Merging in Decentralized Learning, ICLR 2026.
    """

    weights: Weighting = "metropolis"
    """The gossip weights: metropolis is 1/(1 + max(d_i, d_j)), uniform 1/(1 + d_i), max_degree 1/(1 + max d), fastest
    are those that mix fastest; the rest of each sum of 1 is the peer's own."""
    allow: Literal["nothing", "declared"] = "nothing"
    """declared: the number of malicious neighbours that rules are told is added to the denominators of the weights."""
    gossip_steps: Annotated[int, Ge(1), Le(1000)] = 1
    """The number of times that peers send letters and mix in each round in which they do."""
    mix_every: Annotated[int, Strict(), Ge(1)] | Literal["last"] = 1
    """In which rounds peers send letters and mix: in all; in every k-th, so that they train alone in the k - 1 rounds
    before (sparse gossip); or in the last one alone. Attacks on letters strike in these rounds, and others in all."""
    merge: Literal["none", "all"] = "none"
    """all: in the last round all peers who are there write to all others, so that a single merging of all models ends
    the training, whoever hears whom before; it costs n - 1 letters a peer, and n^2 numbers of memory. none: the last
    round is like the others."""
    order: Literal["adapt_then_combine", "combine_then_adapt"] = "adapt_then_combine"
    """adapt_then_combine: peers train, and mix what they have then; combine_then_adapt: they mix first, and train from
    there (BRIDGE)."""
    start: Literal["common", "own", "zero"] = "common"
    """common: all peers begin with one random model; own: every peer begins with a random model of its own; zero: all
    begin with zeros, for models of one layer. Others do not learn from zeros."""
    read: Literal["all", "malicious_first", "by_chance"] = "all"
    """Which letters peers wait for: all, or those of k - b of their k neighbours, where b is the number of malicious
    ones that their rule is told. Malicious peers write first, or chance decides who does; what comes later is not read,
    and the letters that are share its weight."""
    malicious_mixing: Literal["average", "never"] = "average"
    """What malicious peers make of what they get, whatever they send. average: their own models are plain averages of
    it, and they train from there; never: they train on from their own models alone. Where others make few steps between
    two mixings, wrong labels lead such a model far away from all others, so that it pulls harder."""
    arrange: Literal["random", "along"] = "random"
    """random: chance deals the data to peers; along: sorted by their main class, across the narrowest place of the
    network, so that its two sides know different classes."""
    redraw: Literal["never", "round"] = "never"
    """round: every round has a new graph of the family; who is malicious stays."""
    bound: Literal["max", "share", "local"] | Annotated[int, Strict(), Ge(0)] = "max"
    """The number of malicious neighbours that rules are told: max is the largest number that any honest peer has, if as
    many peers are malicious as are declared; share is ceil(f/n degree) for each peer; local is each peer's own number,
    which nobody knows outside of a simulation (published results are often told so); or it is a number."""
    short: Literal["lower", "own"] = "lower"
    """What peers do with too few letters for what their rule is told. lower: the rule is told the largest number that
    fits, and the peer keeps its own model if none does; own: the peer keeps its own model."""
    train_per_class: Annotated[int, Ge(1), Strict()] | None = None
    """The number of its samples of each class with which a peer trains, at most. On all others it tries out what its
    neighbours send, if its rule does so. Without a number, peers train with all their samples, and try models out on
    these."""
    evaluate_samples: Annotated[int, Ge(1)] = 1000
    """The number of test samples, in the proportions of the classes and the same in all trials, on which models are
    measured before the last round; in the last round all test samples are used."""
    score_by: Literal["worst", "lowest_tenth", "mean"] = "worst"
    """What the score is made from: the honest peer with the lowest accuracy, the mean of the lowest tenth of them, or
    the mean of all. Records hold all three."""

    def merges(self, number: int, rounds: int) -> bool:
        """Whether all peers write to all others in round `number` of so many."""
        return self.merge == "all" and number == rounds - 1

    def mixes(self, number: int, rounds: int) -> bool:
        """Whether peers send letters in round `number` of so many."""
        return (number + 1) % self._every(rounds) == 0 or self.merges(number, rounds)

    def mixings(self, rounds: int) -> tuple[int, ...]:
        """The numbers of the rounds in which peers send letters, among so many."""
        return tuple(number for number in range(rounds) if self.mixes(number, rounds))

    def ends_merged(self, rounds: int) -> bool:
        """Whether the last of so many rounds makes models that no other round has: by the only or by another mixing."""
        return self.merge == "all" or self._every(rounds) == rounds

    def _every(self, rounds: int) -> int:
        """From one round in which peers send letters to the next, of so many."""
        return rounds if self.mix_every == "last" else self.mix_every
