"""The functions that users of the kit call: they examine all properties at once, or give the checks one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from robustfl.aggregation import Aggregator, PreAggregation
from robustfl.aggregation.votes.contract import RankAggregator
from robustfl.errors import MissingExtraError, ParameterError
from robustfl.testing import conduct, intake, robustness, symmetry
from robustfl.testing.catalogue import ALL, OF_VOTES, Catalogue, Property, examined, known_names
from robustfl.testing.questions import load_hypothesis
from robustfl.testing.report import ConformanceError, ConformanceReport
from robustfl.testing.subject import Subject, examine
from robustfl.testing.votes import Vote

PROPERTIES: dict[str, Property] = {
    each.name: each
    for module in (symmetry, intake, robustness, conduct)
    for each in ALL.values()
    if each.check.__module__ == module.__name__
}
"""Every property of rules for updates by name, in the order of examination and of the report."""


OF_ANY_RULE = (
    "mutation", "read_only", "aliasing", "dtype", "bounds",
    "deterministic", "repeatable", "generators", "pickling", "text",
)  # fmt: skip

VOTE_PROPERTIES: Catalogue = {**OF_VOTES, **{name: PROPERTIES[name] for name in OF_ANY_RULE}}
"""Every property of rules for rankings by name, in the order of examination and of the report."""

Channel = Literal["dense", "rankings"]
"""What clients send to a rule: updates ("dense") or rankings."""


def properties(channel: Channel = "dense") -> dict[str, str]:
    """The names and statements of all properties of rules for updates, or of rules for rankings."""
    return {name: each.statement for name, each in _known(channel).items()}


def _known(channel: Channel) -> Catalogue:
    return VOTE_PROPERTIES if channel == "rankings" else PROPERTIES


def check_aggregator(
    rule: Any,
    *,
    f: int | None = None,
    least: int | None = None,
    accepts: Iterable[str] = ("numpy",),
    skip: Iterable[str] = (),
    claims: Iterable[str] | None = None,
    max_examples: int = 40,
    seed: int = 0,
    channel: Channel | None = None,
    raise_on_violation: bool = True,
) -> ConformanceReport:
    """Examine every property that an aggregation rule promises, each with many small questions.

    Parameters
    ----------
    rule : an `Aggregator`, a `PreAggregation` or a `RankAggregator`, or any callable. A callable goes from updates
        [n, d] to one update [d], or from rankings [n, e] of the edges 0 to e - 1, with the most important one last, to
        one ranking [e]
    f : number of Byzantine rows that the rule should tolerate. It is read from robustfl's own rules if they hold it;
        otherwise the default is 1 for them, and 0 for callables, of which then no robustness is expected
    least : smallest number of rows in a question; it is read from robustfl's own rules, and 2f + 3 for callables
    accepts : the kinds of arrays that a callable takes, of `"numpy"` and `"torch"`
    skip : names of properties that the rule does not promise, in addition to those that it declares in `unclaimed`
    claims : names of the only properties to examine, whatever the rule declares
    max_examples : number of questions per property
    seed : seed of the questions; the same seed asks the same questions
    channel : what a callable is sent: `"dense"` updates (the default) or `"rankings"`; it is read from robustfl's own
        rules
    raise_on_violation : whether a violated property raises an error, or is only an entry of the report

    Raises
    ------
    ConformanceError : a promise is broken; the message has the smallest counter-example to each broken promise
    ParameterError : a property has an unknown name, or `rule` is no rule
    RobustflError : hypothesis is not installed

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.testing import check_aggregator
    >>> check_aggregator(lambda x: np.median(x, axis=0), f=1, skip=["hostile", "quiet"]).conforms
    True
    >>> def trimmed(x, f=0):
    ...     return np.sort(x, axis=0)[f:-f].mean(axis=0)
    >>> print(check_aggregator(trimmed, claims=["permutation"], raise_on_violation=False)["permutation"])
          violated  permutation: the order of the rows does not matter
        the answer is not finite:
            x = np.array([[0.0], [0.0], [0.0], [0.0]])
            rule(x)
            # found    np.array([np.nan])
    """
    subject, chosen, known = _prepared(rule, f, least, accepts, skip, claims, max_examples, channel)
    findings = tuple(examined(each, subject, chosen, max_examples, seed, "rule") for each in known.values())
    report = ConformanceReport(repr(rule), subject.f, subject.least, findings)
    if raise_on_violation and not report.conforms:
        raise ConformanceError(report)
    return report


def aggregator_checks(
    rule: Any,
    *,
    f: int | None = None,
    least: int | None = None,
    accepts: Iterable[str] = ("numpy",),
    skip: Iterable[str] = (),
    claims: Iterable[str] | None = None,
    max_examples: int = 40,
    seed: int = 0,
    channel: Channel | None = None,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks of `check_aggregator` one by one, as pairs (name, check), for a test runner.

    A check takes no arguments and raises a `ConformanceError` if its property is violated. Properties that do not apply
    or are not claimed are left out. With pytest, each failing property then is a failing test of its own::

        CHECKS = dict(aggregator_checks(MyRule(f=1)))

        @pytest.mark.parametrize("name", CHECKS)
        def test_my_rule(name):
            CHECKS[name]()

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.testing import aggregator_checks
    >>> checks = dict(aggregator_checks(lambda x: x.mean(axis=0), claims=["permutation", "scaling"]))
    >>> list(checks)
    ['permutation', 'scaling']
    >>> checks["scaling"]()
    """
    subject, chosen, known = _prepared(rule, f, least, accepts, skip, claims, max_examples, channel)
    for each in known.values():
        if each.name in chosen and each.inapplicable(subject) is None:
            yield each.name, partial(_run_alone, each, subject, max_examples, seed)


def pytest_checks(rule: Any, **options: Any) -> Callable[[str], None]:
    """A parametrised test of pytest with a case for each property that a rule promises.

    In a test file, one line is enough: ``test_promises = pytest_checks(MyRule(f=1))``. `options` are those of
    :func:`aggregator_checks`. The checks are chosen when the line runs; nothing is asked before the test.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.testing import pytest_checks
    >>> test_mean = pytest_checks(lambda x: x.mean(axis=0), claims=["permutation", "scaling"])
    >>> test_mean.pytestmark
    [Mark(name='parametrize', args=('name', ['permutation', 'scaling']), kwargs={})]
    >>> test_mean("scaling")

    Raises
    ------
    MissingExtraError : pytest is not installed
    """
    try:
        import pytest
    except ImportError:
        raise MissingExtraError("`pytest_checks` needs pytest: pip install 'robustfl[testing]'.") from None
    checks = dict(aggregator_checks(rule, **options))

    def test_promise(name: str) -> None:
        __tracebackhide__ = True
        checks[name]()

    return pytest.mark.parametrize("name", list(checks))(test_promise)


def _prepared(
    rule: Any,
    f: int | None,
    least: int | None,
    accepts: Iterable[str],
    skip: Iterable[str],
    claims: Iterable[str] | None,
    max_examples: int,
    channel: Channel | None,
) -> tuple[Subject, frozenset[str], Catalogue]:
    """The subject, the names of the properties to examine, and the catalogue of all properties."""
    load_hypothesis()
    if max_examples < 1:
        raise ParameterError(f"`max_examples` should satisfy max_examples >= 1. Found max_examples={max_examples}.")
    kind, known = _of_channel(rule, channel)
    left_out = known_names(skip, "skip", known)
    wanted = None if claims is None else known_names(claims, "claims", known) - left_out
    subject = examine(rule, kind, f=f, least=least, accepts=accepts, unclaimed=left_out)
    known_names(subject.unclaimed, "unclaimed", known)
    return subject, frozenset(known) - subject.unclaimed if wanted is None else wanted, known


def _of_channel(rule: Any, told: Channel | None) -> tuple[type[Subject], Catalogue]:
    """The class of subject that fits the channel of a rule, and the catalogue of its properties."""
    own: Channel | None = "rankings" if isinstance(rule, RankAggregator) else None
    own = "dense" if isinstance(rule, Aggregator | PreAggregation) else own
    if told not in (None, "dense", "rankings") or (own is not None and told not in (None, own)):
        wanted = f"{own!r} for {rule!r}" if own else "'dense' or 'rankings'"
        raise ParameterError(f"`channel` should be {wanted}. Found channel={told!r}.")
    channel = own or told or "dense"
    return Vote if channel == "rankings" else Subject, _known(channel)


def _run_alone(each: Property, subject: Subject, max_examples: int, seed: int) -> None:
    __tracebackhide__ = True
    finding = examined(each, subject, frozenset([each.name]), max_examples, seed, "rule")
    if finding.status == "violated":
        raise ConformanceError(ConformanceReport(repr(subject.rule), subject.f, subject.least, (finding,)))
