"""The tables for papers: the numbers of the scores, whole tables whatever labels hold, and where they are from."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl import registry
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import Latex
from robustfl.reports.tex import commented, escaped
from tests.reports.hostile import SCRIPT, hostile
from tests.reports.synthetic import full, run

FULL = full()
PAGE = Latex().render(FULL)

COMMANDS = {
    *("footnotesize", "setlength", "tabcolsep"),
    *(
        "begin",
        "end",
        "centering",
        "footnotesize",
        "setlength",
        "tabcolsep",
        "caption",
        "label",
        "toprule",
        "midrule",
        "bottomrule",
        "ensuremath",
        "ldots",
    ),
    *("textbackslash", "textasciitilde", "textasciicircum", "approx", "geq", "leq", "times", "star"),
    *("alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "pi", "rho", "sigma", "tau", "upsilon", "varphi", "chi", "psi", "omega"),
}


def rows(page: str, table: int = 0) -> list[list[str]]:
    body = page.split("\\midrule\n")[1 + table].split("\n\\bottomrule")[0]
    return [line.removesuffix(" \\\\").split(" & ") for line in body.splitlines()]


def whole(page: str) -> None:
    """Read a page by TeX's rules for the little that tables use: groups, commands, cells and environments."""
    text = "\n".join(line for line in page.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[%#$^~_]", text)
    read = re.findall(r"\\[A-Za-z]+|\\.|[{}]", text)
    assert {one[1:] for one in read if one[0] == "\\" and one[1].isalpha()} <= COMMANDS
    assert {one[1:] for one in read if one[0] == "\\" and not one[1].isalpha()} <= set("\\#$%&_{}")
    depth = 0
    for one in read:
        depth += {"{": 1, "}": -1}.get(one, 0)
        assert depth >= 0
    assert depth == 0
    tables = [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]
    found = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert found == tables * (len(found) // 4)
    for columns, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        for line in body.splitlines():
            if line not in ("\\toprule", "\\midrule", "\\bottomrule"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
                assert line.endswith(" \\\\")
                assert not line.lstrip().startswith(("[", "*"))


def test_the_numbers_are_those_of_the_ranking() -> None:
    for shown, row in zip(rows(PAGE), FULL.summary["scores"]["ranking"], strict=True):
        without = row["rank"] is None or row["R_mean"] is None
        assert shown[0] == ("--" if without else str(row["rank"]))
        assert shown[1] == escaped(row["defense"])
        if row["R_mean"] is not None and row["R_ci"] is not None:
            assert shown[2].startswith(f"{row['R_mean']:.2f}")
            assert shown[3] == f"{row['R_ci'][0]:.2f} to {row['R_ci'][1]:.2f}"
    whole(PAGE)


def test_each_world_has_a_column_where_there_are_several() -> None:
    first, second = FULL.summary["scores"]["worlds"]
    found = {row[0]: row[1:] for row in rows(PAGE, table=1)}
    for name in ("Mean", "GeometricMedian"):
        values = [next(d["R_unt"] for d in world["defenses"] if d["defense"] == name) for world in (first, second)]
        assert found[name] == [f"{value:.2f}" for value in values]
    assert "tab:worlds" not in Latex().render(run(worlds=("w",)))


def test_what_the_numbers_are_from_stands_above() -> None:
    suite = FULL.summary["suite"]
    assert f"% Suite {suite['name']}, hash {suite['hash']}, 3 seeds.\n" in PAGE
    assert "% robustfl 0.1.0, commit unknown.\n" in PAGE
    summary: dict[str, Any] = copy.deepcopy(FULL.summary)
    summary["provenance"]["commit"] = "0123456789ab with changes"
    summary["suite"]["standard"] = {"name": "standard-v2", "hash": "abc"}
    page = Latex().render(RunResults(summary=summary, records=()))  # type: ignore[arg-type]
    assert "% Attacks: standard-v2, hash abc.\n% robustfl 0.1.0, commit 0123456789ab with changes.\n" in page


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT,
        "\\input{/etc/passwd}",
        "a % b",
        "}{\\end{tabular}",
        "[1ex] & x \\\\",
        "?`!`--\"''",
        "中 é ≈ α \u202e\x00",
    ],
    ids=["script", "command", "comment", "braces", "row", "ligatures", "letters"],
)
def test_hostile_labels_leave_the_tables_whole(text: str) -> None:
    page = Latex().render(hostile(text))
    whole(page)
    assert len(rows(page)) == len(hostile(text).summary["scores"]["ranking"])


@given(text=st.text(max_size=40))
def test_any_text_is_escaped(text: str) -> None:
    shown = escaped(text)
    around = "\\begin{table}\n\\begin{tabular}{l}\n", " \\\\\n\\end{tabular}\n\\end{table}"
    whole(shown.join(around))
    assert "\n" not in shown
    assert commented(text).isprintable()


def test_signs_have_their_forms() -> None:
    assert escaped("a_b > c & 5 %") == "a\\_b \\ensuremath{>} c \\& 5 \\%"
    assert escaped("中é") == "{[}U+4E2D{]}é"
    assert escaped("ALIE(z=1.5), worst-case") == "ALIE(z=1.5), worst-case"
    assert escaped("--- '' ?`") == "-{}-{}- '{}' ?{}`"
    assert escaped("–") == "--"


def test_without_a_ranking_there_is_no_table() -> None:
    summary: dict[str, Any] = copy.deepcopy(FULL.summary)
    summary["scores"]["ranking"] = []
    assert Latex().render(RunResults(summary=summary, records=())) == ""  # type: ignore[arg-type]


def test_the_format_is_listed_under_the_name_that_people_type() -> None:
    assert "latex" in registry.find("report")
