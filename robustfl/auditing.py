"""The command `robustfl audit`: try to refute what the privacy mechanisms of a suite claim."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from robustfl.lookups import DataRoot, Json


def audit(
    scenario: Annotated[str, typer.Argument(help="A name of the catalogue (robustfl list scenarios) or a YAML file.")],
    seed: Annotated[int, typer.Option(min=0, help="The randomness of records, canaries and noise.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a value: --set federation.clients=200. Repeatable.")
    ] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Try to refute what the privacy mechanisms of a suite claim, in the real round and without any training.

    Each defense with noise at the server is replayed with hostile records and the
    same randomness; its noise is examined and calibrated; and it is guessed which
    of many canaries took part. The verdict is BROKEN (a contradiction, by name),
    FAIL (more leaks than is claimed), VACUOUS (the same audit does not even refute
    the mechanism without its noise: take more clients), PASS (no contradiction,
    and what could have been refuted), or VOID (nothing is claimed).

    Exit codes: 0 nothing is refuted. 1 a claim is BROKEN or a FAIL. 2 a wrong
    argument or file.
    """
    from robustfl import console
    from robustfl.evaluation.run.auditing import audits
    from robustfl.evaluation.suite.reading import read_experiment

    found = audits(read_experiment(scenario, (*(set_ or ()),)), seed, data_root.resolve() if data_root else None)
    if as_json:
        typer.echo(json.dumps([one.report() for one in found], indent=1))
    else:
        for one in found:
            console.output().print(f"{one.defense} in {one.world}", style="bold", markup=False)
            console.output().print(f"  {one.verdict}  {one.text}\n", markup=False)
        if not found:
            typer.echo("No defense of this suite begins with a privacy mechanism.")
    if any(one.refuted for one in found):
        raise SystemExit(1)
