"""Has Kafka ready: says the size first, then shows how far it is."""

from __future__ import annotations

import sys
import threading

import click

from kafkaprep.engine.cluster import install
from kafkaprep.engine.cluster.install import Installation, InstallProgress

_MB = 1_000_000


def megabytes(count: int) -> str:
    return f"{count / _MB:.1f} MB"


class _Display:
    def __init__(self) -> None:
        self._doing = ""
        self._on_terminal = sys.stderr.isatty()
        self._bar_shown = False

    def __call__(self, progress: InstallProgress) -> None:
        if progress.doing == "fetching" and self._on_terminal and progress.total_bytes:
            share = progress.done_bytes / progress.total_bytes
            bar = "#" * round(share * 24)
            done = f"{megabytes(progress.done_bytes)} of {megabytes(progress.total_bytes)}"
            click.echo(f"\r  fetching   [{bar:<24}] {done:<24}", nl=False, err=True)
            self._bar_shown = True
            return
        if progress.note:
            self._line(f"  {progress.note}")
        elif progress.doing != self._doing:
            self._line(f"  {_WORDS[progress.doing]}")
        self._doing = progress.doing

    def _line(self, text: str) -> None:
        if self._bar_shown:
            click.echo(err=True)
            self._bar_shown = False
        click.echo(text, err=True)


_WORDS = {
    "waiting": "waiting for another kafkaprep that is installing",
    "fetching": "fetching the jars",
    "verifying": "verifying the checksums",
    "training": "training the class archive, so that brokers start faster (once)",
}


def ready_installation(stop: threading.Event) -> Installation:
    """What is installed, installing it first if needed. Raises InstallError or RunStopped."""
    found = install.installation()
    if found is not None and found.archive is not None:
        return found
    if found is None:
        size = megabytes(install.needed_bytes())
        version = install.lock().kafka_version
        click.echo(f"Apache Kafka {version} is not here yet: {size} to download, once.", err=True)
    return install.install(_Display(), stop)
