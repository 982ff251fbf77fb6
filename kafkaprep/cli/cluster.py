"""`kafkaprep cluster`: install, start, stop and inspect the local Kafka cluster."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from kafkaprep.cli.stopping import stop_on_signals
from kafkaprep.errors import ClusterError

_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(
    name="cluster",
    context_settings=_HELP,
    epilog="""\b
Examples:
  kafkaprep cluster up         keep a cluster running, so that labs start at once
  kafkaprep cluster status
  kafkaprep cluster down""",
)
def command() -> None:
    """The local cluster: 1 controller and 3 brokers, real Apache Kafka, on 127.0.0.1 only."""


@command.command(context_settings=_HELP, epilog="\b\nExamples:\n  kafkaprep cluster install")
def install() -> None:
    """Fetch Kafka's jars (once), verify them, and train the class archive."""
    from kafkaprep.cli.installing import ready_installation

    with stop_on_signals() as stop:
        there = ready_installation(stop)
    click.echo(f"Kafka {there.kafka_version} is ready, on Java {there.java.version} ({there.java.origin}).")
    if there.archive is None:
        click.echo("There is no class archive: brokers start more slowly. `kafkaprep cluster install` tries again.")


@command.command(
    context_settings=_HELP,
    epilog="\b\nExamples:\n  kafkaprep cluster up\n  kafkaprep lab acks-zero      starts at once then",
)
def up() -> None:
    """Start the cluster and leave it running until `down`, or until it was idle for 30 minutes."""
    from kafkaprep.cli.installing import ready_installation
    from kafkaprep.engine.cluster.inspect import Inspector
    from kafkaprep.engine.cluster.local import LocalCluster

    with stop_on_signals() as stop:
        cluster = LocalCluster(ready_installation(stop), keep=True)
        try:
            cluster.start(lambda text: click.echo(f"  {text}", err=True), stop)
            Inspector(cluster.direct_bootstrap, stop).await_brokers(cluster.brokers, 60)
        finally:
            cluster.close()
    click.echo(f"Kafka {cluster.version} is up: {cluster.bootstrap}")
    click.echo("`kafkaprep cluster down` ends it; so do 30 idle minutes.")


@command.command(context_settings=_HELP, epilog="\b\nExamples:\n  kafkaprep cluster down")
def down() -> None:
    """End the running cluster and delete its data."""
    from kafkaprep.engine.cluster.local import take_down

    click.echo("The cluster is down." if take_down() else "No cluster was running.")


@command.command(
    context_settings=_HELP, epilog="\b\nExamples:\n  kafkaprep cluster status\n  kafkaprep cluster status --json"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def status(as_json: bool) -> None:
    """Show what is installed and what runs."""
    account = _account()
    if as_json:
        json.dump(account, sys.stdout)
        sys.stdout.write("\n")
        return
    installed = account["installed"]
    if installed["version"]:
        archive = "with" if installed["archive"] else "without"
        click.echo(f"installed  Kafka {installed['version']}, {archive} class archive, Java {installed['java']}")
    else:
        click.echo(f"installed  nothing: {installed['why_not']}")
    running = account["running"]
    if running is None:
        click.echo("running    nothing")
        return
    stays = "stays until `kafkaprep cluster down`" if running["keep"] else "ends with the program that started it"
    click.echo(f"running    Kafka {running['version']}; {stays}")
    for node in running["nodes"]:
        name = node["role"] if node["role"] == "controller" else f"broker {node['id']}"
        process = f"process {node['pid']}" if node["pid"] else "no process"
        click.echo(f"  {name:<11} {node['state']:<9} 127.0.0.1:{node['port']:<6} {process} {node['note']}".rstrip())
    if running["lab_pid"]:
        click.echo(f"  a lab is running on it (process {running['lab_pid']})")
    click.echo(f"  its files are in {running['folder']}")


def _account() -> dict[str, Any]:
    from kafkaprep.engine.cluster import install as installing
    from kafkaprep.engine.cluster.local import connect

    installed: dict[str, Any] = {"version": None, "java": None, "archive": False, "why_not": None}
    try:
        there = installing.installation()
        if there is None:
            installed["why_not"] = "run `kafkaprep cluster install`"
        else:
            installed |= {
                "version": there.kafka_version,
                "java": there.java.version,
                "archive": there.archive is not None,
            }
    except ClusterError as error:
        installed["why_not"] = str(error)
    connection = connect()
    running: dict[str, Any] | None = None
    if connection is not None:
        try:
            running = connection.ask("status")
            running.pop("ok")
        except ClusterError:
            running = None
        finally:
            connection.close()
    return {"format": 1, "installed": installed, "running": running}


@command.command(
    context_settings=_HELP,
    epilog="\b\nExamples:\n  kafkaprep cluster uninstall\n  kafkaprep cluster uninstall --yes      for scripts",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall(yes: bool) -> None:
    """Delete Kafka's jars and the class archive. Saved runs and your progress stay."""
    from kafkaprep.engine.cluster import install as installing
    from kafkaprep.engine.cluster.local import running_host

    if running_host() is not None:
        raise ClusterError("The cluster is running.", "Run `kafkaprep cluster down` first.")
    if not yes:
        click.confirm("Delete the downloaded Kafka?", abort=True)
    click.echo("Kafka was deleted." if installing.uninstall() else "There was nothing of ours to delete.")
