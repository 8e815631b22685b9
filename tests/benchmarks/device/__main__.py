"""Checks and times robustfl on an accelerator within eight minutes: `make device-check`.

It runs the tests that need a device, times aggregation, cohorts of trials and a federation with a ResNet-20 on
generated data, and prints a table. `--device cpu --tiny` runs all of that on a CPU, on almost nothing, to see that it
would run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from tests.benchmarks.device.parts import PARTS, Plan, Row, tiny, whole
from tests.benchmarks.machine import describe

NO_DEVICE = (
    "This machine has no CUDA device that torch can use, so there is nothing to check; "
    "`--device cpu --tiny` runs the same script on the CPU."
)
MARKS = {True: "✓ met", False: "✗ missed", None: ""}


def tell(text: str) -> None:
    """A line about what goes on, beside the page."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def check(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of all parts, and what went wrong: a part that fails does not keep the others from being tried."""
    began, rows, wrong = time.monotonic(), list[Row](), list[str]()
    for name, part in PARTS.items():
        left = plan.limit - (time.monotonic() - began)
        if left <= 0:
            wrong.append(f"{name}: no time was left of the {plan.limit:.0f} s")
            continue
        try:
            for row in part(plan, left):
                rows.append(row)
                tell(f"{row.part}: {row.what}, {row.size}: {row.value}")
        except Exception as error:  # whatever it is, the table names it, and the command fails in the end
            wrong.append(" ".join(f"{name}: {type(error).__name__}: {error}".split()))
    return rows, wrong


def markdown(plan: Plan, machine: dict[str, str], rows: list[Row], wrong: list[str]) -> str:
    """The page `device.md`."""
    lines = ["# Speed on an accelerator", "", f"Made by `make device-check`, on the device `{plan.device}`.", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", "| part | what | size | measured | wanted | verdict |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        lines.append(f"| {row.part} | {row.what} | {row.size} | {row.value} | {row.wanted} | {MARKS[row.met]} |")
    if wrong:
        lines += ["", "## What went wrong", "", *(f"- {text}" for text in wrong)]
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> int:
    """0: everything ran; 1: a part failed; 2: there is no such device. A missed bound is told, and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.device", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="what is checked")
    parser.add_argument("--tiny", action="store_true", help="everything once, on almost nothing")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder of device.md and device.json; nothing is written without it"
    )
    given = parser.parse_args(words)
    if given.device == "cuda" and not torch.cuda.is_available():
        tell(NO_DEVICE)
        return 2
    plan, machine = (tiny if given.tiny else whole)(given.device), describe()
    rows, wrong = check(plan)
    page = markdown(plan, machine, rows, wrong)
    sys.stdout.write(page)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "device.md").write_text(page, encoding="utf-8")
        found = {"device": plan.device, "machine": machine, "rows": [asdict(row) for row in rows], "wrong": wrong}
        (given.out / "device.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
