"""Makes the picture on top of the README from a stored run: what the terminal prints, and the report beside it.

    python docs/picture.py reports/published/leaderboard_digits docs/_static/overview.png

It needs Chromium, which draws the report, and Pillow, which comes with matplotlib.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console

from robustfl.console import headline_lines, ranking_table
from robustfl.evaluation.results.reporting import RunResults
from robustfl.registry import build

SIZE = (1600, 745)
LARGEST = 200_000
"""Bytes that the picture may have, so that the README opens quickly."""


def terminal(results: RunResults) -> str:
    """What `robustfl run` prints in the end, as SVG."""
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True)
    console.print(ranking_table(results.summary["scores"]))
    console.print()
    for line in headline_lines(results.summary):
        console.print(line, markup=False)
    return console.export_svg(title=f"robustfl run {results.summary['suite']['name']}")


def page(results: RunResults, report: str) -> str:
    """The terminal, and two places of the report beside it: its answer and its ranking."""
    return f"""<!doctype html><meta charset="utf-8"><style>
    body {{ margin: 0; display: flex; background: #fff; gap: 16px; align-items: flex-start; }}
    .terminal {{ width: 800px; flex: none; }} .terminal svg {{ width: 100%; height: auto; }}
    iframe {{ width: 1120px; display: block; border: 1px solid #ccc; zoom: 0.69; margin-bottom: 10px; }}
    </style><div class="terminal">{terminal(results)}</div>
    <div><iframe src="{report}" height="480"></iframe><iframe src="{report}" height="560" id="below"></iframe></div>
    <script>setTimeout(() => document.getElementById("below").src = "{report}#ranking", 5000);</script>"""


def draw(folder: Path, out: Path) -> None:
    """Draw the picture of the run in `folder`."""
    with tempfile.TemporaryDirectory() as place:
        source, shot = Path(place) / "page.html", Path(place) / "shot.png"
        results, report = RunResults.load(folder), Path(place) / "report.html"
        report.write_text(build("report", "html").render(results), encoding="utf-8")
        source.write_text(page(results, report.name), encoding="utf-8")
        # Twenty seconds pass as fast as the machine can: it scrolls to the ranking when all is laid out, busy or not.
        size = f"--window-size={SIZE[0]},{SIZE[1]}", "--virtual-time-budget=20000"
        flags = "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-smooth-scrolling"
        command = ["chromium", "--headless", *flags, *size]
        subprocess.run([*command, f"--screenshot={shot}", source.as_uri()], check=True, capture_output=True)
        for colours in (128, 64, 32):
            Image.open(shot).convert("RGB").quantize(colours).save(out, optimize=True)
            if out.stat().st_size < LARGEST:
                return
    raise SystemExit(f"{out} has {out.stat().st_size} bytes, more than {LARGEST}.")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
