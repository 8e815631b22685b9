"""How to use a defense or an attack, as code that is made from its own name and parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robustfl.adapters.ddp import fit_rule
from robustfl.adapters.serving import served
from robustfl.aggregation import Aggregator
from robustfl.aggregation.mechanisms import Mechanism
from robustfl.aggregation.neighbourhoods import Mixer
from robustfl.aggregation.votes.contract import RankAggregator
from robustfl.components import Component
from robustfl.errors import RobustflError
from robustfl.registry import build
from robustfl.threats import UpdateAttack

CLIENTS = 15
"""Clients of the examples: enough for the rules that ask for most of them, with a fifth malicious."""

GIVEN: dict[str, dict[str, Any]] = {
    "norm_bound": {"radius": 1.0},
    "robust_learning_rate": {"threshold": 4},
    **{
        name: {"clip": 1.0, "delta": 0.01, "noise_multiplier": 1.0}
        for name in ("dp_sgd", "dp_fed_avg", "local_dp", "secure_sum_dp")
    },
}
"""Hyper-parameters without a default, beside f, and what else an example needs."""

WORLDS = {
    "dense": ("mlp", "algorithm: fedsgd"),
    "rankings": ("mlp", "algorithm: fedavg"),
    "rewards": ("mlp", "algorithm: fedavg"),
    "predictions": ("mlp", "algorithm: fedavg, distillation: {public_share: 0.1}"),
    "virtual data": ("mlp", "algorithm: fedavg, virtual_data: {samples: 10}"),
    "spied": ("mlp", "algorithm: fedsgd, batch_size: 4"),
    "peers": ("softmax", "algorithm: fedavg, topology: {regular: {degree: 6}}"),
}
"""The model and the rules of the federation in which a suite plays messages of each kind."""

ALONE = (Aggregator, Mixer, RankAggregator)
"""What answers by itself; all else stands before such a rule."""

SENT = {
    "dense": ("updates", "one update a client"),
    "predictions": ("updates", "one row of predictions a client"),
    "rewards": ("updates", "one update a client"),
    "rankings": ("rankings", "one ranking of 1,000 edges a client"),
}


FACTS = {
    "own": "own=own",
    "history": "history=[np.zeros(1000)]",
    "defense": "aggregate=Krum(f=3)",
}
"""What an attack is told outside of a federation, by what it has to know."""


CHOSEN = {"mpaf": 'base="initial"'}
"""What is chosen otherwise outside of a federation, where no other model can be drawn."""

TRIED = {
    "ubar": (
        "# in practice: losses on samples of the peer's own\n"
        "occasion = Occasion(losses=lambda peer, models: np.square(models - 1.0).mean(axis=1))"
    ),
    "bristle": (
        "# in practice: how many of the peer's own samples of each class are taken for each class\n"
        "def confusions(peer, models):\n"
        "    right = np.abs(models.reshape(len(models), 10, 100).mean(axis=2)) < 2\n"
        "    return np.where(right[:, :, None], 5 * np.eye(10), 0.5)\n\n\n"
        "shared = lambda peer, others: np.full(len(others), 10)  # all classes of the peer, all others know as well\n"
        "occasion = Occasion(confusions=confusions, shared=shared)"
    ),
}
"""Rules of peers that ask how good models are, and what answers them in an example."""

TRAINED = {"omniscient_label_flip": "relabelled=-honest"}
"""What comes from training, which nobody does outside of a federation."""


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """A piece of code with a title."""

    title: str
    language: str
    code: str
    note: str = ""


def snippets(cls: type[Component]) -> list[Snippet]:
    """How to use a defense or an attack: in plain numpy, torch DDP, Flower, and a suite, where each makes sense."""
    if hasattr(cls, "requires"):
        return [*_in_python(cls), Snippet(title="In a suite", language="yaml", code=_defended(cls))]
    own = [_crafted(cls)] if issubclass(cls, UpdateAttack) and cls.surface == "updates" else []
    return [*own, Snippet(title="In a suite", language="yaml", code=_attacked(cls))]


def rule_text(cls: type[Component]) -> str:
    """A rule that can be asked, as a text: a stage that only prepares updates has a rule behind it."""
    given = {p.name: 1 for p in cls.declared_parameters() if p.required and p.name == "f"} | GIVEN.get(cls.name, {})
    text = f"{cls.__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"
    return text if issubclass(cls, ALONE) else f"{text} >> {_behind(cls)}"


def _behind(cls: type[Component]) -> str:
    """The rule behind a stage: mechanisms of privacy are told for a mean."""
    return "Mean()" if issubclass(cls, Mechanism) else "TrimmedMean(f=1)"


def _in_python(cls: Any) -> list[Snippet]:
    text = rule_text(cls)
    if issubclass(cls, Mixer):
        return [_mixed(cls, text)]
    rule = build("defense", text)
    if rule.client_side or rule.protection is not None or cls.compares_models:
        return []  # it is what clients do: no call on updates shows that
    called = Snippet(title="In plain numpy", language="python", code=_called(cls, text, rule.wants_trusted))
    return [called, *_where_it_fits(text)] if cls.channel == "dense" and not rule.wants_trusted else [called]


def _called(cls: Any, text: str, trusted: bool) -> str:
    names = sorted({part.partition("(")[0] for part in text.split(" >> ")})
    rows, what = SENT[cls.channel]
    rule = f"({text})" if " >> " in text else text
    lines = [
        "import numpy as np",
        f"from robustfl.defenses import {', '.join(names)}",
        "",
        "rng = np.random.default_rng(0)",
    ]
    if cls.channel == "rankings":
        lines += [f"rankings = np.stack([rng.permutation(1000) for _ in range({CLIENTS})])  # {what}"]
    else:
        lines += [
            f"updates = rng.normal(loc=1.0, size=({CLIENTS}, 1000))  # {what}",
            "updates[0] *= -100  # somebody lies",
        ]
    own = ", trusted=np.ones(1000)" if trusted else ""
    return "\n".join([*lines, f"answer = {rule}.aggregate({rows}{own})", "assert answer.value.shape == (1000,)"])


def _where_it_fits(text: str) -> list[Snippet]:
    """The adapters that take the rule, with as many participants as it needs."""
    found = []
    ddp = _least(lambda count: fit_rule(text, count))
    if ddp is not None:
        code = [
            "from robustfl.adapters.ddp import register",
            "from torch.nn.parallel import DistributedDataParallel",
            "",
            "model = DistributedDataParallel(network)",
            f'robust = register(model, "{text}")',
        ]
        note = f"In each of at least {ddp} processes:"
        found.append(Snippet(title="In torch DDP", language="python", code="\n".join(code), note=note))
    if _least(lambda count: served(text, count)) is not None:
        code = [
            "from robustfl.adapters.flower import RobustStrategy",
            "",
            f'strategy = RobustStrategy("{text}", nodes={CLIENTS})',
        ]
        note = "In the ServerApp, and then ``strategy.start(grid, arrays, num_rounds=3)``:"
        found.append(Snippet(title="In Flower", language="python", code="\n".join(code), note=note))
    return found


def _least(ask: Callable[[int], object]) -> int | None:
    """The smallest number of participants with which an adapter takes a rule; None if it never does."""
    for count in range(2, CLIENTS + 1):
        try:
            ask(count)
        except RobustflError:
            continue
        return count
    return None


def _mixed(cls: Any, text: str) -> Snippet:
    asked = ", b=1" if cls.uses_bound else ""
    extra, imported, given = "", "", ""
    if cls.name in TRIED:
        imported = "from robustfl.aggregation.neighbourhoods import Occasion\n"
        extra, given = f"{TRIED[cls.name]}\n", ", occasion=occasion"
    code = (
        f"import numpy as np\n{imported}from robustfl.defenses import {cls.__name__}\n\n"
        "rng = np.random.default_rng(0)\n"
        "own = rng.normal(loc=1.0, size=1000)\n"
        'heard = {name: rng.normal(loc=1.0, size=1000) for name in ("anna", "bert", "carl", "dora")}\n'
        'heard["carl"] *= -100  # somebody lies\n'
        f"{extra}model, told = {text}.mix_one(own, heard{asked}{given})\n"
        "assert model.shape == (1000,)"
    )
    return Snippet(title="One peer, in plain numpy", language="python", code=code)


def _crafted(cls: Any) -> Snippet:
    chosen, trained = CHOSEN.get(cls.name, ""), [TRAINED[cls.name]] if cls.name in TRAINED else []
    known = {fact: given for fact, given in FACTS.items() if fact in cls().required_knowledge().names()}
    rule = "from robustfl.defenses import Krum\n" if "defense" in known else ""
    others = "own = rng.normal(loc=1.0, size=(3, 1000))  # what malicious clients would send if they were honest\n"
    code = (
        f"import numpy as np\nfrom robustfl.attacks import {cls.__name__}\n{rule}\n"
        "rng = np.random.default_rng(0)\n"
        "honest = rng.normal(loc=1.0, size=(12, 1000))  # one update a client\n"
        f"{others if 'own' in known else ''}"
        f"malicious = {cls.__name__}({chosen})({', '.join(['honest', 'f=3', *known.values(), *trained])})\n"
        "assert malicious.shape == (3, 1000)"
    )
    return Snippet(title="In plain numpy", language="python", code=code)


def _defended(cls: Any) -> str:
    given = GIVEN.get(cls.name, {})
    own = f"{{{cls.name}: {_flow(given)}}}" if given else cls.name
    if issubclass(cls, Mixer):
        rules = list(dict.fromkeys(["gossip", own, "nna"]))
        return _suite(f"{cls.__name__} beside other rules of peers", "peers", rules, ["echo", "dissensus"])
    staged = own if issubclass(cls, ALONE) else f"[{own}, {_name(_behind(cls))}]"
    attacks = ["label_flip"] if cls.channel != "dense" else ["alie", "{ipm: {epsilon: 10}}"]
    rules = list(dict.fromkeys(["mean", staged, "median"]))
    return _suite(f"{cls.__name__} beside other rules", cls.channel, rules, attacks)


def _name(text: str) -> str:
    return {"Mean()": "mean", "TrimmedMean(f=1)": "trimmed_mean"}[text]


def _attacked(cls: Any) -> str:
    told, name = f"What {cls.__name__} does to some rules", cls.name
    rules = ["mean", "median"]
    match cls.surface:
        case "faults":
            return _suite(told, "dense", rules, ["alie"], f"faults: [{name}]")
        case "evasion":
            return _suite(told, "dense", rules, ["alie"], f"evasion: [{name}]")
        case "privacy":
            return _spied(cls)
        case "identities":
            return _suite(told, "dense", rules, [f"[{name}, label_flip]"], most=1)  # one adversary, under five names
        case "placement":
            return _suite(told, "peers", ["gossip", "nna"], [f"[{name}, dissensus]"])
        case "peers":
            rules = [
                "gossip",
                {"framing": "sybilwall", "random_updates": "{sybilwall: {history: updates}}"}.get(name, "nna"),
            ]
            whole = {"in_steps": f"[{name}, sign_flip]", "random_updates": f"[label_flip, {name}]"}.get(name, name)
            return _suite(told, "peers", rules, [whole])
        case "rankings":
            return _suite(told, "rankings", ["mean", "frl"], [name])
        case "predictions":
            return _suite(told, "predictions", rules, [name])
        case _:
            return _suite(told, "dense", [*rules, *cls.made_for[:1]], [name])


def _spied(cls: Any) -> str:
    observer = "active" if "active" in cls.knowledge.names() else "server"
    world = "spied" if "dense" in cls.channels else "virtual data"
    told = f"What {cls.__name__} finds out about the data of clients"
    return _suite(
        told, world, ["mean"], [], f"privacy: {{observer: {observer}, rounds: [last], attacks: [{cls.name}]}}"
    )


def _suite(told: str, world: str, defenses: list[str], attacks: list[str], extra: str = "", most: int = 3) -> str:
    model, rules = WORLDS[world]
    lines = [
        "name: my_suite",
        f"description: {told}",
        f"task: {{data: digits, model: {model}, partition: {{dirichlet: {{alpha: 0.5}}}}}}",
        f"federation: {{clients: {CLIENTS}, rounds: 40, {rules}}}",
        f"adversary: {{f: [0, {most}]}}",
        f"defenses: [{', '.join(defenses)}]",
        f"attacks: [{', '.join(attacks)}]",
        *([extra] if extra else []),
        "seeds: 5",
    ]
    return "\n".join(lines)


def _flow(values: dict[str, Any]) -> str:
    return f"{{{', '.join(f'{name}: {json.dumps(value)}' for name, value in values.items())}}}"
