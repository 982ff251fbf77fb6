"""`kafkaprep prove`: every lab both ways, as often as you like."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from kafkaprep import paths
from kafkaprep.catalog.labs import find_lab, load_labs
from kafkaprep.cli.stopping import stop_on_signals
from kafkaprep.errors import ContentError
from kafkaprep.model.lab import BrokenLab, Lab


@click.command(
    name="prove",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  kafkaprep prove                          every lab once, both ways
  kafkaprep prove acks-zero --repeat 20""",
)
@click.argument("lab_ids", metavar="[LAB]...", nargs=-1)
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, help="Runs of each claim.")
@click.option(
    "--record",
    "recordings",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep one run of each claim, as claimed, as a recording in DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(lab_ids: tuple[str, ...], repeat: int, recordings: Path | None, as_json: bool) -> int:
    """Run labs on real brokers and check that `start` breaks the promise and `solution` keeps it, every time.

    Exit code 1 if any run ended otherwise; a void run counts as a failure.
    """
    index = load_labs(paths.labs())
    for entry in index.values():
        if isinstance(entry, BrokenLab) and not lab_ids:
            raise ContentError(entry.file, entry.line, entry.column, entry.error)
    chosen = [find_lab(index, lab_id) for lab_id in lab_ids]
    labs = chosen or [entry for entry in index.values() if isinstance(entry, Lab)]
    from kafkaprep.cli.installing import ready_installation
    from kafkaprep.engine.cluster.local import LocalCluster
    from kafkaprep.engine.prove import Proof, prove
    from kafkaprep.engine.recording import SUFFIX, pack
    from kafkaprep.engine.saved_run import SavedRun

    def tell(proof: Proof, saved: SavedRun) -> None:
        name = f"{proof.claim.lab.id} {proof.claim.name}"
        mark = "as claimed" if proof.outcomes[-1] == proof.claim.outcome else "NOT AS CLAIMED"
        reason = f" ({saved.void['fault']}: {saved.void['reason']})" if saved.void else ""
        click.echo(f"{name:<36} {proof.outcomes[-1]:<13} {proof.seconds[-1]:6.2f} s  {mark}{reason}", err=True)
        if proof.outcomes[-1] == proof.claim.outcome and recordings is not None:
            recordings.mkdir(parents=True, exist_ok=True)
            pack(saved.folder, recordings / f"{proof.claim.lab.id}.{proof.claim.name.replace(' ', '-')}{SUFFIX}")
        if proof.outcomes[-1] != proof.claim.outcome:
            click.echo(f"  saved in {saved.folder}", err=True)

    with stop_on_signals() as stop:
        cluster = LocalCluster(ready_installation(stop))
        try:
            cluster.start(lambda text: click.echo(f"  {text}", err=True), stop)
            proofs = prove(labs, cluster, repeat, stop, tell)
        finally:
            cluster.close()
    holds = all(proof.holds for proof in proofs)
    if as_json:
        json.dump({"format": 1, "holds": holds, "proofs": [proof.as_dict() for proof in proofs]}, sys.stdout)
        sys.stdout.write("\n")
    else:
        click.echo(f"{'lab':<24} {'settings':<10} {'claimed':<8} {'agree':>7} {'median':>9}")
        for proof in proofs:
            row = proof.as_dict()
            agree = f"{row['agreeing']}/{row['runs']}"
            click.echo(f"{row['lab']:<24} {row['settings']:<10} {row['claimed']:<8} {agree:>7} {row['median_s']:>7} s")
    return 0 if holds else 1
