"""Honest clients that fail beside f malicious ones: whatever the rejected rows are, they never lower f."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from robustfl.errors import InfeasibleError
from tests.aggregation.cases import Case, gaussian, rules
from tests.aggregation.oracles import Matrix

D = 4
HOSTILE = ("far, together", "far, apart", "one column", "just outside", "copies of an honest row", "opposite")
REJECTED: dict[str, list[Any]] = {
    "sent twice by an attacker": [np.full(D, 1e6), np.full(D, 2e6)],
    "sent twice, by whoever is faster": [np.full(D, 1e6), np.full(D, 1.0)],
    "missing": [None],
    "not a number": [np.full(D, np.nan)],
    "infinite": [np.array([np.inf, 0.0, 0.0, 0.0])],
    "too large": [np.full(D, 1e300)],
    "of another shape": [np.zeros(D + 1)],
    "unreadable": ["zeros"],
}
"""What clients send that does not count, each under one id."""


def lies(honest: Matrix, f: int, kind: str) -> Matrix:
    """f malicious rows."""
    if kind == "copies of an honest row":
        return np.tile(honest[0], (f, 1))
    if kind == "opposite":
        return np.tile(-10.0 * honest.mean(axis=0), (f, 1))
    if kind == "just outside":
        return np.tile(honest.max(axis=0) + np.ptp(honest, axis=0), (f, 1))
    rows = np.full((f, D), 1e6)
    if kind == "far, apart":
        rows *= np.where(np.arange(f) % 2, -1.0, 1.0)[:, None] * np.arange(1, f + 1)[:, None]
    elif kind == "one column":
        rows[:, 1:] = 0.0
    return rows


lost = st.lists(st.sampled_from(sorted(REJECTED)), max_size=5)


@rules(told=True)
@settings(deadline=None, max_examples=12)
@example(seed=0, f=2, more=3, kind="far, together", kinds=["sent twice by an attacker"] * 2, again=0)
@example(seed=0, f=2, more=3, kind="far, together", kinds=[], again=2)
@example(seed=0, f=2, more=-2, kind="far, together", kinds=["missing", "missing"], again=0)
@example(seed=0, f=2, more=0, kind="far, together", kinds=["not a number", "not a number"], again=0)
@given(
    seed=st.integers(0, 2**32),
    f=st.integers(1, 3),
    more=st.integers(-4, 4),
    kind=st.sampled_from(HOSTILE),
    kinds=lost,
    again=st.integers(0, 4),
)
def test_the_answer_stays_where_it_is_with_f_kept_or_there_is_none(
    case: Case, seed: int, f: int, more: int, kind: str, kinds: list[str], again: int
) -> None:
    n = max(f + 1, case.least(f) + more)
    assume(n > kinds.count("of another shape"))  # else no majority of the rows says what an update looks like
    honest = gaussian(seed, n - f, D)
    bad = lies(honest, f, kind)
    accepted = dict(enumerate([*bad, *honest]))
    sent = list(accepted.items())
    sent += [(n + number, row) for number, name in enumerate(kinds) for row in REJECTED[name]]
    sent += [sent[place] for place in range(min(again, n))]  # delivered twice, or replayed: they count once
    arrival = [sent[place] for place in np.random.default_rng(seed).permutation(len(sent))]
    ids, rows = [name for name, _ in arrival], [row for _, row in arrival]
    if n < case.least(f):
        with pytest.raises(InfeasibleError, match=rf"Found n=\d+, f={f}\."):
            case.make(f)(rows, ids=ids)
        return
    answer = case.make(f).aggregate(rows, ids=ids)
    present = [name for name in dict.fromkeys(ids) if name in accepted]
    alone = case.make(f).aggregate([accepted[name] for name in present], ids=present)
    np.testing.assert_array_equal(answer.value, alone.value)
    caught = sum(name != "missing" for name in kinds)
    assert answer.info["exceeded"] == max(0, caught - f)
    if case.robust_from is not None and n >= case.robust_from(f):
        reach = max(float(np.linalg.norm(honest, axis=1).max()), 1.0)
        assert np.linalg.norm(answer.value - honest.mean(axis=0)) <= 10 * reach


@rules(told=True)
@pytest.mark.parametrize("f", [1, 3])
def test_f_clients_that_send_no_numbers_are_borne_where_there_are_f_more_rows(case: Case, f: int) -> None:
    """The share of rejected rows that a rule can bear without lowering f is what is above its bound."""
    x = gaussian(1, case.least(f) + f, D)
    x[:f] = np.nan
    np.testing.assert_array_equal(case.make(f)(x), case.make(f)(x[f:]))
    x[f] = np.nan
    with pytest.raises(InfeasibleError, match=rf"{f + 1} of {len(x)} rows were rejected, which does not lower f\."):
        case.make(f)(x)
