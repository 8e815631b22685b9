"""The measures that records may hold beside accuracy and loss, as those who measure have declared them.

Everything that has to know their names asks here: the shape of records, the columns of tables, the commands
``robustfl list measures`` and ``robustfl describe``, and the readings ``more(defense, name)`` of claims.

>>> known_measures()["worst_class"].unit
'share'
"""

from __future__ import annotations

from functools import cache

from robustfl.measures import Measure

_DECLARED = (
    Measure(
        "attack_success",
        "share of the tested samples that is taken for what the attacker wants",
        unit="share",
        better="lower",
    ),
    Measure("triggered_accuracy", "share that is recognised in spite of the trigger", unit="share", better="higher"),
    Measure("source_accuracy", "accuracy on the class that should be taken for another", unit="share", better="higher"),
    Measure("target_accuracy", "accuracy on that other class", unit="share", better="higher"),
    Measure("other_accuracy", "accuracy on all classes but the first", unit="share", better="higher"),
    Measure("attack_success_curve", "attack_success at every measurement", unit="share", better="lower", form="list"),
    Measure("aim", "the attack on data whose aim this is", form="text"),
    Measure("durability", "rounds that the success outlasts the attacker", unit="rounds", better="lower"),
    Measure("durability_censored", "whether it outlasts the training", form="flag"),
    Measure(
        "aims",
        "success of every attack with an aim, whether it was carried out or not",
        unit="share",
        form="by name",
    ),
    Measure("conduct", "misbehaviour of the defense that was seen", form="texts"),
    Measure("honest_ignored", "share of the honest messages that were ignored", unit="share", better="lower"),
    Measure("honest_unheard", "share of the honest clients that were never really heard", unit="share", better="lower"),
    Measure("detection_recall", "share of the malicious messages that was ignored", unit="share", better="higher"),
    Measure("detection_precision", "share of malicious messages among the ignored", unit="share", better="higher"),
    Measure(
        "detection_auc",
        "how often a malicious message has less weight than an honest one",
        unit="share",
        better="higher",
    ),
    Measure(
        "clean_accuracy",
        "accuracy on the chosen test samples before any attack on them",
        unit="share",
        better="higher",
    ),
    Measure(
        "robust_accuracy",
        "accuracy under each attack on test samples",
        unit="share",
        better="higher",
        form="by name",
    ),
    Measure(
        "worst_robust_accuracy",
        "share of the samples that stay right under all attacks",
        unit="share",
        better="higher",
    ),
    Measure("robust_gap", "clean_accuracy less worst_robust_accuracy", unit="share", better="lower"),
    Measure("client_accuracy", "accuracy of each client's own model", unit="share", better="higher", form="list"),
    Measure(
        "standalone_accuracy",
        "accuracy that each client reaches alone with the same budget",
        unit="share",
        form="list",
    ),
    Measure("best_accuracy", "accuracy of the best model of an honest client", unit="share", better="higher"),
    Measure(
        "mean_gain", "what honest clients reach together, less what they reach alone", unit="share", better="higher"
    ),
    Measure("fairness", "correlation of what honest clients reach alone and together; 1 is fair", better="higher"),
    Measure("reputations", "the defense's last word on each client's reputation", form="list"),
    Measure("quotas", "the share of the aggregate that each client got last", unit="share", form="list"),
    Measure("excluded", "the clients that were shut out for good", form="list"),
    Measure("excluded_rounds", "the rounds after which they were", unit="rounds", form="list"),
    Measure("excluded_honest", "how many honest clients were shut out", unit="clients", better="lower"),
    Measure("excluded_malicious", "how many malicious clients were shut out", unit="clients", better="higher"),
    Measure(
        "class_accuracy",
        "accuracy on each class, a mean over the models",
        unit="share",
        better="higher",
        form="list",
    ),
    Measure("worst_class", "accuracy on the class that is served worst", unit="share", better="higher"),
    Measure("worst_client", "accuracy of the honest client that is served worst", unit="share", better="higher"),
    Measure("client_spread", "standard deviation of the accuracy over honest clients", unit="share", better="lower"),
    Measure("staleness", "mean age of the models that honest messages come from", unit="steps"),
    Measure("worst_staleness", "largest age of a model that an honest message comes from", unit="steps"),
    Measure("late_rows", "messages that were used after the round in which they were sent", unit="rows"),
    Measure("surplus_rows", "messages that were not used, as a newer one had come", unit="rows"),
)


@cache
def known_measures() -> dict[str, Measure]:
    """All measures by their names, in the order in which tables show them."""
    return {measure.name: measure for measure in _DECLARED}


def numbers() -> tuple[str, ...]:
    """The names of the measures that are one number a trial, so that a column can hold their means."""
    return tuple(name for name, measure in known_measures().items() if measure.form == "number")
