"""LaTeX from any text: the content of a label never becomes a command, and every document that holds it compiles."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "varepsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "ι": "iota",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "υ": "upsilon",
    "φ": "varphi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
}

_SIGNS = {
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\ensuremath{<}",
    ">": "\\ensuremath{>}",
    "|": "\\ensuremath{|}",
    '"': "''",
    # These would be an argument of the end of a row.
    **{sign: f"{{{sign}}}" for sign in "[]*"},
    "≈": "\\ensuremath{\\approx}",
    "≥": "\\ensuremath{\\geq}",
    "≤": "\\ensuremath{\\leq}",
    "−": "\\ensuremath{-}",
    "–": "--",
    "—": "---",
    "×": "\\ensuremath{\\times}",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": "\\ldots{}",
    "★": "\\ensuremath{\\star}",
    **{letter: f"\\ensuremath{{\\{name}}}" for letter, name in _GREEK.items()},
}


def escaped(text: str) -> str:
    """The text on one line, shown as it is; a character that LaTeX's fonts may lack becomes its code, `[U+4E2D]`."""
    # Two of these, one after the other, would become one other sign.
    line = " ".join(text.replace("\x00", "\ufffd").split())
    apart = re.sub(r"([-,'`])(?=\1)|[?!](?=`)", lambda found: f"{found[0]}\x00", line)
    return "".join("{}" if sign == "\x00" else _letter(sign) for sign in apart)


def _letter(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if " " <= sign <= "~":
        return sign
    base = unicodedata.normalize("NFD", sign)
    if len(base) > 1 and base[0].isascii() and base[0].isalpha() and ord(sign) < 0x180:
        return sign  # a letter with an accent, which LaTeX composes
    return f"{{[}}U+{ord(sign):04X}{{]}}"


def commented(text: str) -> str:
    """The text as a comment on one line."""
    return "% " + "".join(sign if " " <= sign <= "~" else "?" for sign in " ".join(text.split()))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], columns: str, caption: str, label: str) -> str:
    """A table with the rules of booktabs; `columns` has a letter a column, l for left and r for right."""
    lines = [" & ".join(map(escaped, row)) + " \\\\" for row in rows]
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            "\\footnotesize",
            "\\setlength{\\tabcolsep}{2.5pt}",
            f"\\caption{{{escaped(caption)}}}",
            f"\\label{{{label}}}",
            f"\\begin{{tabular}}{{{columns}}}",
            "\\toprule",
            " & ".join(map(escaped, header)) + " \\\\",
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
    )
