"""`kafkaprep audit PATH`: judge a saved run or a ledger document."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from kafkaprep import paths
from kafkaprep.errors import UsageError
from kafkaprep.model.lab import Lab
from kafkaprep.model.verdict import Outcome

INCONCLUSIVE = 3


@click.command(
    name="audit",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  kafkaprep audit ~/.local/share/kafkaprep/runs/20260101-120000-acks-zero-1a2b3c
  kafkaprep audit ledger.json --json
  kafkaprep audit ledgers.jsonl --json           one result line for each line""",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, nothing else.")
def command(path: Path, as_json: bool) -> int:
    """Judge the run or ledger document at PATH again, from its ledgers alone."""
    if path.is_dir():
        return _audit_run(path, as_json)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"There is nothing at {path}.", "Give a run's folder, a .json or a .jsonl file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    from kafkaprep.engine.audit.document import answer_text

    answers = answer_text(text, json_lines=path.suffix == ".jsonl")
    if as_json:
        for answer in answers:
            sys.stdout.write(json.dumps(answer) + "\n")
        return 0
    for answer in answers:
        _print_answer(answer)
    return 0


def _print_answer(answer: dict[str, object]) -> None:
    from kafkaprep.engine.terminal_text import sanitise

    classes = answer["classes"]
    assert isinstance(classes, dict)
    click.echo(sanitise(str(answer["name"] or "ledger document")))
    if not classes:
        click.echo("  nothing found")
    for name, members in classes.items():
        shown = ", ".join(sanitise(str(member)) for member in members[:20])
        more = f", … ({len(members)} in all)" if len(members) > 20 else ""
        click.echo(f"  {name:<24} {shown}{more}")


def _audit_run(folder: Path, as_json: bool) -> int:
    from kafkaprep.catalog.labs import load_labs
    from kafkaprep.cli.report import console, print_verdict
    from kafkaprep.engine.saved_run import open_run

    saved = open_run(folder)
    if as_json:
        sys.stdout.write(json.dumps(saved.document()) + "\n")
    else:
        lab = load_labs(paths.labs()).get(str(saved.plan["lab"]))
        if not isinstance(lab, Lab):
            raise UsageError(f"The run is of lab {saved.plan['lab']}, which is not here.", "Use --json.")
        print_verdict(console(), lab, saved)
    return INCONCLUSIVE if saved.outcome is Outcome.INCONCLUSIVE else 0
