"""`kafkaprep verify [DIR]`: read labs and settings without a broker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from kafkaprep import paths
from kafkaprep.catalog.application import load_application_code
from kafkaprep.catalog.labs import load_labs
from kafkaprep.catalog.settings import load_settings
from kafkaprep.errors import ContentError, UsageError
from kafkaprep.model.lab import BrokenLab


@click.command(
    name="verify",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  kafkaprep verify             what comes with kafkaprep
  kafkaprep verify my-labs/    a folder of labs of your own""",
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(folder: Path | None, as_json: bool) -> int:
    """Check lab files (in DIR, or those that come with kafkaprep) without starting anything."""
    labs = folder or paths.labs()
    if not labs.is_dir():
        raise UsageError(f"{labs} is no folder.", "Give a folder of lab files.")
    errors: list[str] = []
    try:
        table = load_settings()
    except ContentError as error:
        table, errors = None, [str(error)]
    if table is not None and folder is None:
        try:
            load_application_code(table=table)
        except ContentError as error:
            errors.append(str(error))
    index = {} if table is None else load_labs(labs, table)
    errors += [str(lab) for lab in index.values() if isinstance(lab, BrokenLab)]
    if as_json:
        json.dump({"format": 1, "labs": len(index), "errors": errors}, sys.stdout)
        sys.stdout.write("\n")
    else:
        for text in errors:
            click.echo(text)
        labs_word = "lab file" if len(index) == 1 else "lab files"
        click.echo(f"{len(index)} {labs_word}, {len(errors) or 'no'} error{'' if len(errors) == 1 else 's'}.")
    return 1 if errors or not index else 0
