"""Evaluation statuses: what an evaluation needs, what makes it suspect, and who may be ranked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from robustfl import registry
from robustfl.attacks import (
    ALIE,
    IPM,
    Clones,
    ConsistentWhiteBox,
    LabelFlip,
    OneCoordinate,
    PlannedDrift,
    PredictionSearch,
    SignFlip,
    WhiteBox,
)
from robustfl.evaluation.score.score import score
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.evaluation.trust.evidence import DefenseFacts, Evidence, Threat, doubled_searches, seen_conduct
from robustfl.evaluation.trust.remark import make_remark
from robustfl.evaluation.trust.status import (
    ADAPTIVE,
    CONFIG_INVALID,
    STATUSES,
    SUSPECT,
    UPPER_BOUND,
    StatusVerdict,
    missing,
    played,
    verdict,
    with_statuses,
)
from robustfl.federation import assemble
from robustfl.threats import Attack, RankAttack
from tests.attacks.table import TABLE, Row
from tests.evaluation.outcomes import cell, world
from tests.federation.worlds import population, rules, weights

WHITE = ("peers", "defense")
ENOUGH = {
    "inner": Threat(classes=("wb",), knowledge=WHITE, goal="inner"),
    "ones": Threat(classes=("cdwb",), knowledge=WHITE, goal="fixed ones"),
    "minus": Threat(classes=("cdwb",), knowledge=WHITE, goal="fixed minus_ones"),
    "base": Threat(classes=("cdwb",), knowledge=WHITE, goal="fixed base"),
    "planned": Threat(classes=("planned_drift",), knowledge=("peers", "data", "defense"), planned=True, goal="planned"),
    "flip": Threat(classes=("sign_flip",), knowledge=("own",)),
    "mpaf": Threat(classes=("mpaf",), knowledge=("own", "history")),
    "alie": Threat(classes=("alie",), knowledge=("own", "peers"), tiled="ALIE"),
    "pairs": Threat(classes=("alie",), knowledge=("own", "peers"), tiled="ALIE", paired=True),
    "late": Threat(classes=("ipm",), knowledge=("peers",), start=10),
    "made": Threat(classes=("anti_cge",), knowledge=("peers",), tailored=True, tiled="AntiCGE"),
}
WORLD = cache(population)
DEMANDING = DefenseFacts(stateful=True, made_for=("anti_cge",))


def without(*names: str) -> list[Threat]:
    return [threat for name, threat in ENOUGH.items() if name not in names]


def test_enough_is_enough() -> None:
    assert missing(without(), DEMANDING) == []


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (("inner",), "no white-box search for inner"),
        (("minus", "base"), "no white-box search for fixed minus_ones, fixed base"),
        (("planned",), "no planned attack that knows everything"),
        (("flip",), "no attack that knows its own data alone"),
        (("mpaf",), "no attack that knows past models, and no updates of others"),
        (("pairs",), "identical rows only, no pairs: ALIE"),
        (("late",), "no attack that starts late, though it keeps a history"),
        (("made",), "not met, though made for it: anti_cge"),
    ],
)
def test_each_thing_that_is_lacking_is_named(left_out: tuple[str, ...], reason: str) -> None:
    assert missing(without(*left_out), DEMANDING) == [reason]


def test_what_a_defense_does_not_ask_for_is_not_lacking() -> None:
    assert missing(without("late", "made"), DefenseFacts()) == []
    assert missing(without("alie", "pairs"), DEMANDING) == []  # nothing identical, nothing to vary


def test_a_late_attack_has_to_begin_before_the_training_ends() -> None:
    assert missing(without(), DEMANDING, rounds=11) == []
    assert "starts late" in missing(without(), DEMANDING, rounds=10)[0]


def test_a_level_is_the_most_that_an_attack_may_look_at() -> None:
    white_box_alone = [ENOUGH[name] for name in ("inner", "ones", "minus", "base", "planned")]
    assert len(missing(white_box_alone, DefenseFacts())) == 3
    data = Threat(classes=("omniscient_label_flip",), knowledge=("peers", "data"))
    assert len(missing([*white_box_alone, data], DefenseFacts())) == 2, "it also looks at honest updates"


@pytest.mark.parametrize("hidden", ["peers", "data", "defense"])
def test_a_planned_attack_counts_when_nothing_is_hidden_from_it(hidden: str) -> None:
    known = tuple(name for name in ("peers", "data", "defense") if name != hidden)
    less = replace(ENOUGH["planned"], knowledge=known)
    assert "no planned attack that knows everything" in missing([*without("planned"), less], DEMANDING)


def test_a_share_of_the_rounds_is_a_late_start_too() -> None:
    assert missing([*without("late"), replace(ENOUGH["planned"], late=True)], DEMANDING, rounds=1) == []


def test_a_channel_without_searches_says_so_once() -> None:
    votes = DefenseFacts(channel="rankings", searchable=False, plannable=False)
    reasons = missing(without("inner", "ones", "minus", "base", "planned"), votes)
    assert reasons == ["no white-box search: there is none for the channel 'rankings' yet"]


@pytest.mark.parametrize(
    ("attack", "facts"),
    [
        (SignFlip(), Threat(classes=("sign_flip",), knowledge=("own",))),
        (ALIE(start_round=3), Threat(classes=("alie",), knowledge=("peers",), tiled="ALIE", start=3, first=3)),
        (
            LabelFlip(start_round=2) >> IPM(start_round=9),
            Threat(classes=("label_flip", "ipm"), knowledge=("own", "peers"), tiled="IPM", start=9, first=2),
        ),
        (IPM(diversify="pairs"), Threat(classes=("ipm",), knowledge=("peers",), tiled="IPM", paired=True)),
        (IPM(diversify="jitter"), Threat(classes=("ipm",), knowledge=("peers",), tiled="IPM")),
        (
            Clones(disguise=1.0) >> IPM(),
            Threat(classes=("clones", "ipm"), knowledge=("peers",), tiled="IPM", paired=True),
        ),
        (
            ConsistentWhiteBox(steady="base"),
            Threat(classes=("consistent_white_box",), knowledge=("history", "peers", "defense"), goal="fixed base"),
        ),
        (
            PlannedDrift(),
            Threat(
                classes=("planned_drift",),
                knowledge=("history", "peers", "data", "defense"),
                goal="planned",
                planned=True,
            ),
        ),
        (
            PlannedDrift(data="own", estimate="own", late=0.5),
            Threat(
                classes=("planned_drift",),
                knowledge=("own", "history", "defense"),
                goal="planned",
                planned=True,
                late=True,
            ),
        ),
    ],
    ids=str,
)
def test_what_an_attack_counts_for(attack: Any, facts: Threat) -> None:
    assert Threat.of(attack) == facts


def test_what_a_defense_asks_for() -> None:
    assert DefenseFacts.of(DefenseTemplate.read(["nnm", "median"])) == DefenseFacts()
    assert "one_coordinate" in DefenseFacts.of(DefenseTemplate.read("Krum")).made_for
    assert Threat.of(OneCoordinate()).tailored
    assert DefenseFacts.of(DefenseTemplate.read("fools_gold")).stateful
    rankings = DefenseFacts.of(DefenseTemplate.read("frl"))
    assert (rankings.channel, rankings.searchable, rankings.plannable) == ("rankings", False, False)
    distilling = rules(algorithm="fedavg", distillation={})
    predictions = DefenseFacts.of(DefenseTemplate.read("median"), distilling)
    assert (predictions.channel, predictions.searchable, predictions.plannable) == ("predictions", True, False)
    met = [Threat.of(attack) for attack in (WhiteBox(), PredictionSearch(), PredictionSearch(harm="flips"))]
    assert not [reason for reason in missing(met, predictions) if "white-box" in reason or "planned" in reason]
    assert "no white-box search for flips" in missing(met[:2], predictions)


def test_searches_with_twice_the_candidates_are_found() -> None:
    attacks = [WhiteBox(), WhiteBox(candidates=38), WhiteBox(harm="l2", candidates=38), WhiteBox(candidates=20), ALIE()]
    assert doubled_searches(attacks) == {str(WhiteBox()): str(WhiteBox(candidates=38))}
    plans = [PlannedDrift(plan_every=4), PlannedDrift(plan_every=2, steps=17), PlannedDrift(plan_every=2, steps=9)]
    assert doubled_searches(plans) == {str(plans[0]): str(plans[1])}, "fewer steps, or more by less than twice"


def test_conduct_is_gathered_from_the_records_once_each() -> None:
    def record(defense: str, metrics: Any) -> dict[str, Any]:
        return {"labels": {"world": "w", "defense": defense, "attack": "none"}, "metrics": metrics}

    seen = {"more": {"conduct": ["draws", "writes"]}}
    records = [record("A", seen), record("A", {"more": {"conduct": ["draws"]}}), record("B", {"more": {}})]
    assert seen_conduct([*records, record("B", None)]) == {("w", "A"): ("draws", "writes")}


def point(f: int, attacks: dict[str, float | None], invalid: str | None = None) -> dict[str, Any]:
    cells = {attack: {"U": utility} for attack, utility in {"none": 1.0, **attacks}.items()}
    return {"f": f, "invalid": invalid, "attacks": cells if f else {"none": {"U": 1.0}}}


def report(*points: dict[str, Any], label: str = "w") -> tuple[dict[str, Any], dict[str, Any]]:
    defense = {"defense": "D", "curve": [point(0, {}), *points]}
    return {"world": label, "informative": True, "defenses": [defense]}, defense


ALL = dict.fromkeys(ENOUGH, 0.5)
EVIDENCE = Evidence(threats=ENOUGH, subjects={"D": DEMANDING}, rounds={"w": 50})


def status(*points: dict[str, Any], remarks: tuple[dict[str, Any], ...] = ()) -> tuple[str, tuple[str, ...]]:
    found = verdict(*report(*points), EVIDENCE, remarks)
    return found.status, found.why


def test_an_attack_counts_when_it_was_played_to_the_end_at_every_f() -> None:
    _, defense = report(point(1, {"a": 0.5, "b": None, "c": 0.2}), point(2, {"a": 0.5, "b": 0.1}))
    assert played(defense) == ["a"]
    assert status(point(1, ALL), point(2, ALL)) == (ADAPTIVE, ())
    assert status(point(1, ALL), point(2, {**ALL, "inner": None})) == (UPPER_BOUND, ("no white-box search for inner",))


def test_an_attack_that_begins_after_the_last_round_was_not_met() -> None:
    threats = {**ENOUGH, "planned": replace(ENOUGH["planned"], first=50)}
    evidence = replace(EVIDENCE, threats=threats)
    found = verdict(*report(point(1, ALL)), evidence, ())
    assert (found.status, found.why) == (UPPER_BOUND, ("no planned attack that knows everything",))
    assert verdict(*report(point(1, ALL)), replace(evidence, rounds={"w": 51}), ()).status == ADAPTIVE


def test_without_malicious_clients_nothing_was_met() -> None:
    found, why = status()
    assert found == UPPER_BOUND
    assert "no white-box search for inner, fixed ones, fixed minus_ones, fixed base" in why
    assert "no planned attack that knows everything" in why


def test_a_defense_that_can_be_used_nowhere_has_an_invalid_configuration() -> None:
    refused = [point(f, {}, f"n >= {f} should hold.") for f in (3, 4)]
    assert status(*refused) == (CONFIG_INVALID, ("n >= 3 should hold",))
    assert status(point(1, ALL), *refused) == (ADAPTIVE, ())


@pytest.mark.parametrize(
    ("flag", "suspect"),
    [
        (make_remark("WEAK_WHITE_BOX", "warning", "", world="w", defense="D"), True),
        (make_remark("WEAK_WHITE_BOX", "warning", "", world="w", defense="E"), False),
        (make_remark("WEAK_WHITE_BOX", "warning", "", world="v", defense="D"), False),
        (make_remark("SCENARIO_NOT_ATTACKABLE", "error", "", world="w", defense="Mean"), True),
        (make_remark("INCOMPLETE", "error", "", world="w", defense="D"), True),
        (make_remark("INCOMPLETE", "error", "", world="w", defense="E"), False),
        (make_remark("UNINFORMATIVE", "error", "", world="w"), True),
        (make_remark("FEW_SEEDS", "warning", "", world="w"), False),
        (make_remark("DIVERGED", "warning", "", world="w", defense="D"), False),
    ],
)
def test_doubts_and_errors_make_a_defense_suspect(flag: dict[str, Any], suspect: bool) -> None:
    expected = (SUSPECT, (flag["code"],)) if suspect else (ADAPTIVE, ())
    assert status(point(1, ALL), remarks=(flag, flag)) == expected


def test_a_suspect_defense_also_hears_what_it_lacks() -> None:
    flag = make_remark("NON_MONOTONE", "warning", "", world="w", defense="D")
    assert status(point(1, {**ALL, "flip": None}), remarks=(flag,)) == (
        SUSPECT,
        ("NON_MONOTONE", "no attack that knows its own data alone"),
    )


def test_over_several_worlds_the_worst_status_counts() -> None:
    good, _ = report(point(1, ALL), label="w")
    bad, _ = report(point(1, {**ALL, "base": None}), label="v")
    worlds, found = with_statuses([good, bad], EVIDENCE, [])
    assert [place["defenses"][0]["status"] for place in worlds] == [ADAPTIVE, UPPER_BOUND]
    assert found["D"] == StatusVerdict(status=UPPER_BOUND, why=("no white-box search for fixed base (in v)",))
    _, found = with_statuses([good, {**bad, "informative": False}], EVIDENCE, [])
    assert found["D"].status == ADAPTIVE  # nothing is learnt there, so it is no part of the score either
    assert STATUSES.index(SUSPECT) < STATUSES.index(UPPER_BOUND)


def scored(evidence: Evidence | None, *defenses: str) -> dict[str, Any]:
    """D1 is better than D2, and so on."""
    outcomes = []
    for place, defense in enumerate(defenses):
        outcomes += cell("none", 0, (1.0, 1.0, 1.0), defense)
        for attack in ("none", "bad"):
            outcomes += cell(attack, 4, (0.9 - 0.2 * place, 0.91 - 0.2 * place, 0.89 - 0.2 * place), defense)
    return score(outcomes, [world()], evidence=evidence)


def strict(*adaptive: str) -> Evidence:
    """Evidence by which all others did not meet an attack that is made for them."""
    subjects = {
        name: DefenseFacts(made_for=() if name in adaptive else ("nobody",), plannable=False)
        for name in ("A", "B", "C")
    }
    return Evidence(subjects=subjects, ranks_adaptive_only=True)


def test_only_adaptive_defenses_are_ranked_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustfl.evaluation.trust.status.GOALS", ())
    monkeypatch.setattr("robustfl.evaluation.trust.status.LEVELS", {})
    result = scored(strict("B", "C"), "A", "B", "C")
    rows = [(row["rank"], row["defense"], row["status"]) for row in result["ranking"]]
    assert rows == [(1, "B", ADAPTIVE), (2, "C", ADAPTIVE), (None, "A", UPPER_BOUND)]
    unranked = result["ranking"][2]
    assert unranked["R_mean"] == pytest.approx(0.9)
    assert (unranked["beats"], unranked["beaten_by"]) == ([], [])
    assert unranked["why"] == ["not met, though made for it: nobody"]
    assert [(pair["a"], pair["b"]) for pair in result["pairs"]] == [("B", "C")]
    assert result["worlds"][0]["defenses"][0]["status"] == UPPER_BOUND


def test_where_statuses_are_only_shown_ranks_stay_what_they_were() -> None:
    loose = replace(strict("B"), ranks_adaptive_only=False)
    with_, without_ = scored(loose, "A", "B", "C"), scored(None, "A", "B", "C")
    assert [{k: v for k, v in row.items() if k not in ("status", "why")} for row in with_["ranking"]] == (
        without_["ranking"]
    )
    assert all(row["status"] == UPPER_BOUND for row in with_["ranking"])


ATTACKS = [row for row in TABLE if isinstance(row.attack, Attack) and row.attack.fits("dense")]


def trained(attack: Any, defense: str = "mean", **settings: Any) -> tuple[Any, Any]:
    """Accuracy and weights after two rounds in which nobody is malicious."""
    rule = registry.build("defense", defense, f=0)
    made = assemble(WORLD(), rules(rounds=2, **settings), rule, attack=attack, f=0, seed=3)
    return made.run().accuracy, weights(made).tolist()


@pytest.mark.parametrize("row", ATTACKS, ids=lambda row: repr(row.attack))
def test_an_attack_without_malicious_clients_leaves_the_training_as_it_is(row: Row) -> None:
    assert isinstance(row.attack, Attack)
    defense = "frl" if isinstance(row.attack, RankAttack) else "mean"
    distils = {"algorithm": "fedavg", "distillation": {}} if row.attack.surface == "predictions" else {}
    assert trained(row.attack, defense, **distils) == trained(None, defense, **distils)


def test_identities_without_malicious_clients_leave_the_training_as_it_is() -> None:
    assert trained(Clones(count=3) >> LabelFlip()) == trained(None) == trained(Clones(outside=True) >> IPM())


def test_what_is_asked_of_a_defense_where_clients_send_predictions() -> None:
    """In a suite with both kinds of worlds, each world asks for the searches of its own channel."""
    place, defense = report(point(3, ALL), label="w")
    facts = DefenseFacts(channel="predictions", plannable=False)
    both = replace(EVIDENCE, elsewhere={("w", "D"): facts})
    assert "no white-box search for permutation, flips" in verdict(place, defense, both, ()).why  # type: ignore[arg-type]
    elsewhere = replace(EVIDENCE, elsewhere={("v", "D"): facts})
    assert verdict(place, defense, elsewhere, ()) == verdict(place, defense, EVIDENCE, ())  # type: ignore[arg-type]
