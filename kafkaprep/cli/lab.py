"""`kafkaprep lab`: lists the labs; with an id, runs one and reports its verdict."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kafkaprep import paths
from kafkaprep.catalog.labs import find_lab, load_labs
from kafkaprep.catalog.settings import load_settings
from kafkaprep.cli.stopping import stop_on_signals
from kafkaprep.errors import UsageError
from kafkaprep.model.lab import BrokenLab, Lab, LabIndex, Stage
from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Outcome

if TYPE_CHECKING:
    from kafkaprep.engine.cluster.choose import Target
    from kafkaprep.engine.predict import Prediction
    from kafkaprep.engine.saved_run import SavedRun

NOT_EXPECTED, INCONCLUSIVE = 1, 3


@click.command(
    name="lab",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  kafkaprep lab
  kafkaprep lab acks-zero
  kafkaprep lab acks-zero --set producer.acks=all
  kafkaprep lab acks-zero --compare producer.acks=all
  kafkaprep lab acks-zero --predict lost=some
  kafkaprep lab acks-zero --solution --repeat 5 --json
  kafkaprep lab acks-zero --expect broken        for scripts and CI""",
)
@click.argument("lab_id", metavar="[ID]", required=False)
@click.option("--set", "assignments", multiple=True, metavar="SCOPE.NAME=VALUE", help="Change one setting; repeatable.")
@click.option("--solution", is_flag=True, help="Run with the settings that keep the lab's promise.")
@click.option(
    "--cluster",
    "backend",
    type=click.Choice(["auto", "local", "mock", "external"]),
    default="auto",
    show_default=True,
    help="Where to run: `local` starts real Kafka brokers on this machine; `mock` shows the client's view only; "
    "`external` is a cluster of yours; `auto` picks local if it can be had.",
)
@click.option("--bootstrap", metavar="HOST:PORT", help="Run on your own cluster (implies --cluster external).")
@click.option(
    "--client-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="How to log in there: a .properties file with security, sasl and ssl settings.",
)
@click.option("--messages", type=int, metavar="N", help="How many messages to send in all.")
@click.option("--seed", type=int, metavar="N", help="Repeat what a run with this seed chose (which broker leads).")
@click.option(
    "--compare",
    "compared",
    multiple=True,
    metavar="SCOPE.NAME=VALUE",
    help="Run it twice, the second time with this setting as well; both verdicts and the price. Repeatable.",
)
@click.option(
    "--predict",
    "predictions",
    multiple=True,
    metavar="WHAT=HOW_MANY",
    help="Say before the run what it will show: lost=none|some|all|N, duplicated=…, outcome=kept|broken.",
)
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, metavar="N", help="Run it N times in a row.")
@click.option("--expect", type=click.Choice(["kept", "broken"]), help="Exit with 1 unless every run ends like this.")
@click.option("--code", "as_code", is_flag=True, help="Run nothing; show the application settings as code.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
@click.option("--plain", is_flag=True, help="Plain lines instead of a live display.")
@click.option("--quiet", is_flag=True, help="Only the verdict.")
def command(
    lab_id: str | None,
    assignments: tuple[str, ...],
    solution: bool,
    backend: str,
    bootstrap: str | None,
    client_config: Path | None,
    messages: int | None,
    seed: int | None,
    compared: tuple[str, ...],
    predictions: tuple[str, ...],
    repeat: int,
    expect: str | None,
    as_code: bool,
    as_json: bool,
    plain: bool,
    quiet: bool,
) -> int:
    """Run lab ID on a real Kafka cluster and judge what became of every message; without ID, list the labs.

    Exit codes: 0 conclusive; 1 not what --expect said; 2 unknown lab or setting; 3 inconclusive; 4 no cluster could
    be had; 130 interrupted.
    """
    index = load_labs(paths.labs())
    if lab_id is None:
        print_list(index, as_json)
        return 0
    lab = find_lab(index, lab_id)
    changes = read_changes(assignments)
    if as_code:
        from kafkaprep.cli.code import print_code

        print_code(lab, lab.settings(changes, solution=solution), as_json)
        return 0
    from kafkaprep.engine.cluster.choose import target
    from kafkaprep.engine.plan import make_plan
    from kafkaprep.engine.predict import parse_prediction
    from kafkaprep.engine.prepare import check_clients

    if compared and repeat > 1:
        raise UsageError("--compare and --repeat do not go together.", "Compare first, then repeat either side.")
    if compared and expect:
        raise UsageError("--compare and --expect do not go together.", "Two runs have two outcomes.")
    where = target(backend, bootstrap, client_config)
    predicted = [parse_prediction(text) for text in predictions]
    plans = [make_plan(lab, changes, solution=solution, messages=messages, seed=seed) for _ in range(repeat)]
    if compared:
        other = changes.merged(read_changes(compared))
        plans.append(make_plan(lab, other, solution=solution, messages=messages, seed=plans[0].seed))
    check_clients(plans[0], where.properties)
    check_clients(plans[-1], where.properties)
    with stop_on_signals() as stop:
        runs = _run_all(lab, where, plans, stop, plain or as_json, quiet or as_json)
    judged = [_judge(lab, folder, measured) for folder, measured in runs]
    if compared:
        return _report_comparison(lab, judged, as_json)
    return _report(lab, judged, predicted, expect, as_json)


def read_changes(assignments: Sequence[str]) -> Settings:
    """`scope.name=value` texts as settings, each checked. Raises UsageError."""
    table = load_settings()
    changes: dict[Scope, dict[str, str]] = {}
    for assignment in assignments:
        scope, name, value = table.parse_assignment(assignment)
        changes.setdefault(scope, {})[name] = value
    return Settings(changes)


def _run_all(
    lab: Lab, where: Target, plans: Sequence[Any], stop: threading.Event, plain: bool, quiet: bool
) -> list[tuple[Path, dict[str, float]]]:
    from kafkaprep.cli.installing import ready_installation
    from kafkaprep.cli.live import Display, LiveDisplay, PlainDisplay
    from kafkaprep.cli.report import console
    from kafkaprep.engine.cluster.choose import choose, fit
    from kafkaprep.engine.prepare import check_capabilities
    from kafkaprep.engine.run import run

    began = time.monotonic()
    chosen = choose(where, lab, plans, lambda: ready_installation(stop))
    cluster = chosen.cluster
    if chosen.note:
        click.echo(chosen.note, err=True)
    check_capabilities(lab, cluster)
    out = console(stderr=True)
    settings = plans[0].settings
    display: Display
    if out.is_terminal and not (plain or quiet):
        display = LiveDisplay(out, lab, settings)
    else:
        display = PlainDisplay(out, lab, settings, quiet)
    done: list[tuple[Path, dict[str, float]]] = []
    with ExitStack() as closing:
        closing.callback(cluster.close)
        closing.enter_context(display)
        started = time.monotonic()
        cluster.start(display.say, stop)
        cluster_start_s = time.monotonic() - started
        fitted = [fit(lab, plan, cluster) for plan in plans]
        if fitted[0][1]:
            display.say(fitted[0][1])
        for number, (plan, _) in enumerate(fitted, start=1):
            if len(plans) > 1:
                display.say(f"Run {number} of {len(plans)}")
            folder = run(plan, cluster, display.on_event, stop)
            done.append((folder, {"cluster_start_s": cluster_start_s, "total_s": time.monotonic() - began}))
            cluster_start_s, began = 0.0, time.monotonic()
    return done


def _judge(lab: Lab, folder: Path, measured: dict[str, float]) -> tuple[SavedRun, dict[str, Any]]:
    """The judged run and its document, with the durations that only the command knows."""
    from kafkaprep.engine.proven import note_outcome
    from kafkaprep.engine.saved_run import open_run

    started = time.monotonic()
    saved = open_run(folder)
    audit_s = time.monotonic() - started
    if not saved.view:  # what the mock shows counts as no proof
        note_outcome(folder.parent, lab.id, saved.outcome)
    document = saved.document()
    document["durations"] = {
        "cluster_start_s": round(measured["cluster_start_s"], 3),
        **document["durations"],
        "audit_s": round(audit_s, 3),
        "total_s": round(measured["total_s"] + audit_s, 3),
    }
    return saved, document


def _report(
    lab: Lab,
    judged: Sequence[tuple[SavedRun, dict[str, Any]]],
    predicted: Sequence[Prediction],
    expect: str | None,
    as_json: bool,
) -> int:
    from kafkaprep.cli.report import console, print_prediction, print_repeats, print_verdict

    outcomes = [saved.outcome for saved, _ in judged]
    out = console()
    for saved, document in judged:
        held = [prediction.check(saved) for prediction in predicted]
        if held:
            document["predictions"] = held
        if not as_json:
            print_verdict(out, lab, saved)
            print_prediction(out, held)
    if as_json:
        documents = [document for _, document in judged]
        agree = len(set(outcomes)) == 1 and all(document["void"] is None for document in documents)
        _print_json(documents[0] if len(documents) == 1 else {"format": 1, "repeats": documents, "agree": agree})
    elif len(outcomes) > 1:
        print_repeats(out, [saved for saved, _ in judged])
    if expect is not None and any(outcome != expect for outcome in outcomes):
        click.echo(f"Expected {expect}, got {', '.join(sorted(set(outcomes)))}.", err=True)
        return NOT_EXPECTED
    return INCONCLUSIVE if Outcome.INCONCLUSIVE in outcomes else 0


def _report_comparison(lab: Lab, judged: Sequence[tuple[SavedRun, dict[str, Any]]], as_json: bool) -> int:
    from kafkaprep.cli.report import console, print_comparison, print_verdict
    from kafkaprep.engine.compare import difference

    (a, document_a), (b, document_b) = judged
    diff = difference(a, b)
    if as_json:
        _print_json({"format": 1, "a": document_a, "b": document_b, "diff": diff})
    else:
        out = console()
        for saved in (a, b):
            print_verdict(out, lab, saved, next_steps=False)
        print_comparison(out, diff)
    return INCONCLUSIVE if Outcome.INCONCLUSIVE in (a.outcome, b.outcome) else 0


def _print_json(document: dict[str, Any]) -> None:
    json.dump(document, sys.stdout)
    sys.stdout.write("\n")


def print_list(index: LabIndex, as_json: bool) -> None:
    """The labs by stage, with what was proven on this machine; a broken file is listed with its error."""
    from kafkaprep.engine.proven import proven_labs

    proven = proven_labs(paths.runs())
    if as_json:
        rows = [
            {
                "id": lab.id,
                "title": lab.title,
                "stage": str(lab.stage),
                "kind": str(lab.kind),
                "proven": sorted(proven.get(lab.id, ())),
            }
            for lab in index.values()
            if isinstance(lab, Lab)
        ]
        broken = [{"id": lab.id, "error": str(lab)} for lab in index.values() if isinstance(lab, BrokenLab)]
        _print_json({"format": 1, "labs": rows, "broken": broken})
        return
    for stage in Stage:
        labs = [lab for lab in index.values() if isinstance(lab, Lab) and lab.stage is stage]
        if not labs:
            continue
        click.echo(f"{stage}")
        for lab in labs:
            seen = ", ".join(sorted(proven.get(lab.id, ())))
            click.echo(f"  {lab.id:<24} {lab.title}" + (f"  (seen here: {seen})" if seen else ""))
    for entry in index.values():
        if isinstance(entry, BrokenLab):
            click.echo(f"  {entry.id:<24} cannot be read: {entry}")
    click.echo("\nRun one with `kafkaprep lab ID`. Things are supposed to break here.")
