"""Speed beside other libraries: `make bench-peers`, or `python -m tests.benchmarks.peers` where these are installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.peers.measuring import SIZES, measure
from tests.benchmarks.peers.page import draw, markdown
from tests.benchmarks.peers.results import Run


def tell(text: str) -> None:
    """A line about what goes on, beside the page."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(words: list[str] | None = None) -> int:
    """0: all answers of one definition are equal; 1: some are not; 2: no other library is there."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--sizes", choices=sorted(SIZES), default="small", help="which sizes are measured")
    parser.add_argument(
        "--out", type=Path, default=Path("reports") / "benchmarks", help="folder of peers.md, .json and .svg"
    )  # fmt: skip
    given = parser.parse_args(words)

    def keep(run: Run) -> None:
        if run.rules:
            run.write(given.out / "peers.json")
            (given.out / "peers.md").write_text(markdown(run), encoding="utf-8")
            draw(run, given.out / "peers.svg")

    given.out.mkdir(parents=True, exist_ok=True)
    run = measure(SIZES[given.sizes], tell, keep)
    if all(found.missing for found in run.libraries):
        for found in run.libraries:
            tell(f"{found.name}: {found.missing}")
        tell("There is no library to compare with. `make bench-peers` installs them.")
        return 2
    sys.stdout.write(markdown(run))
    return 1 if run.unequal() else 0


if __name__ == "__main__":
    raise SystemExit(main())
