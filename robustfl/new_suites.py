"""The command that begins a suite: a file with comments, and the schema with which editors complete and check it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from robustfl.lookups import Json

SUITE = """\
# yaml-language-server: $schema={schema}
# Run it with `robustfl run {file}`; `robustfl run {file} --budget` only says how long that takes.
# Lists under `task` and `federation` become a grid, each point of which is a world of its own.
name: {name}
description: Which of these rules keeps most when one client in five is malicious?

task:                                  # keys: robustfl describe task
  data: digits                         # or {{csv: {{path: flows.csv, label_column: attack}}}}: robustfl describe csv
  model: {{mlp: {{hidden: [24]}}}}         # names: robustfl list models, or a class in a file, `my_models.py:Wide`
  partition: {{dirichlet: {{alpha: 0.5}}}} # how unlike clients are; `iid` when they are all alike

federation:                            # keys: robustfl describe federation
  clients: 10
  rounds: 60
  client_momentum: 0.9                 # [0, 0.9] would play both

adversary:                             # keys: robustfl describe adversary
  fractions: [0, 0.2]                  # shares of malicious clients; or numbers of them, `f: [0, 2]`

defenses:                              # names: robustfl list defenses; f is filled in
  - mean                               # the yardstick, and what the others are compared with
  - median
  - geometric_median
  - [nnm, trimmed_mean]                # a pipeline: what stands first prepares the updates for what follows
  # - my_rules.py:MyRule               # a class in a file beside this one

attacks:                               # names: robustfl list attacks
  - sign_flip
  - alie
  - {{ipm: {{epsilon: 0.1}}}}              # parameters: robustfl describe ipm
  - label_flip
# standard: standard-v2                # in place of `attacks`: the whole list, after which defenses are ranked

seeds: 3                               # 5 or more for numbers that others should believe
"""
"""The text of a new suite, to be filled in with its file, its name and the file of the schema."""


def init(
    path: Annotated[Path, typer.Argument(help="The file to begin.")] = Path("suite.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: Json = False,
) -> None:
    """Begin a suite: a YAML file with comments, and beside it the schema with which editors complete and check it.

    The schema knows the names of this installation, plug-ins included.
    """
    from robustfl.errors import ParameterError
    from robustfl.evaluation.results.store import write_atomically
    from robustfl.evaluation.suite.schema import suite_schema

    if path.suffix not in (".yaml", ".yml"):
        raise ParameterError(f"A suite is a YAML file. Found {str(path)!r}; try {str(path.with_suffix('.yaml'))!r}.")
    schema = path.with_suffix(".schema.json")
    for file in (path, schema):
        if file.exists() and not force:
            raise ParameterError(f"{file} exists already. Name another file, or give --force to replace it.")
    name = re.sub(r"\W+", "_", path.stem).strip("_") or "suite"
    text = SUITE.format(file=path.name, name=json.dumps(name) if name[0].isdigit() else name, schema=schema.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(schema, (json.dumps(suite_schema(), indent=1) + "\n").encode())
    write_atomically(path, text.encode())
    written = [str(path), str(schema)]
    typer.echo(json.dumps(written) if as_json else f"{path}: run it with `robustfl run {path}`\n{schema}: its schema")
