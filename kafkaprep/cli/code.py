"""`kafkaprep lab ID --code`: application settings as code."""

from __future__ import annotations

import json
import sys

import click

from kafkaprep.catalog.application import load_application_code
from kafkaprep.catalog.settings import load_settings
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Scope, Settings


def shown_settings(lab: Lab, settings: Settings) -> dict[str, str]:
    """The application settings that matter to the lab or were set, with the value this run would have."""
    names = [knob.name for knob in lab.knobs if knob.scope is Scope.APPLICATION]
    chosen = dict.fromkeys([*settings[Scope.APPLICATION], *names])
    specs = load_settings().specs[Scope.APPLICATION]
    return {name: settings.get(Scope.APPLICATION, name, specs[name].default or "") for name in chosen}


def print_code(lab: Lab, settings: Settings, as_json: bool) -> None:
    """The code that each of them stands for, in Python and in Java."""
    code = load_application_code()
    chosen = shown_settings(lab, settings)
    if as_json:
        rows = [
            {"setting": name, "value": value, "python": code[name][value].python, "java": code[name][value].java}
            for name, value in chosen.items()
        ]
        json.dump({"format": 1, "lab": lab.id, "code": rows}, sys.stdout)
        sys.stdout.write("\n")
        return
    if not chosen:
        click.echo(f"Lab {lab.id} changes Kafka settings only; its application is the usual one.")
        return
    for name, value in chosen.items():
        click.echo(f"application.{name}={value}\n")
        for language, text in (("Python", code[name][value].python), ("Java", code[name][value].java)):
            indented = "\n".join(f"      {line}".rstrip() for line in text.splitlines())
            click.echo(f"  {language}\n{indented}\n")
