"""`python -m bench [--rounds N] [--json]`: every comparison in one table."""

from __future__ import annotations

import json
import sys
import threading

import click

from bench import proxy, start, warm_lab
from kafkaprep.cli.installing import ready_installation


@click.command()
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(rounds: int, as_json: bool) -> None:
    """Measure and compare. No cluster of kafkaprep may be running."""
    installation = ready_installation(threading.Event())
    rows = [row for module in (start, warm_lab, proxy) for row in module.rows(installation, rounds)]
    if as_json:
        json.dump({"rows": [row.as_dict() for row in rows]}, sys.stdout)
        sys.stdout.write("\n")
        return
    for row in rows:
        figures = ", ".join(f"{name} {value:.2f}" for name, value in row.detail.items())
        mark = "met" if row.met else "NOT MET"
        click.echo(f"{row.name:<48} {row.value:6.2f} {row.unit}  goal ≤ {row.goal:<5} {mark:<8} {figures}")


if __name__ == "__main__":
    main()
