"""Application settings as the code they stand for.

Read from content/application.yaml, which must show every value of every application setting, in Python and in Java.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kafkaprep import paths
from kafkaprep.catalog import schema, strict_yaml
from kafkaprep.catalog.settings import SettingsTable, load_settings
from kafkaprep.catalog.strict_yaml import Node
from kafkaprep.model.settings import Scope, SettingSpec

FILE = "application.yaml"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Code:
    """The lines one value of a setting stands for."""

    python: str
    java: str


ApplicationCode = Mapping[str, Mapping[str, Code]]  # by setting and value


def load_application_code(file: Path | None = None, table: SettingsTable | None = None) -> ApplicationCode:
    """The code for each application setting and value. Raises ContentError."""
    root = strict_yaml.read(file or paths.content() / FILE, strict_yaml.SHIPPED)
    return read_application_code(root, table or load_settings())


def read_application_code(root: Node, table: SettingsTable) -> ApplicationCode:
    specs = table.specs[Scope.APPLICATION]
    entries = schema.fields(root, "The file", required=["format_version", *specs])
    schema.integer(entries["format_version"], "format_version", FORMAT_VERSION, FORMAT_VERSION)
    return {name: _values(entries[name], spec) for name, spec in specs.items()}


def _values(node: Node, spec: SettingSpec) -> Mapping[str, Code]:
    wanted = spec.choices or ("true", "false")
    return {value: _code(one, value) for value, one in schema.fields(node, spec.name, required=wanted).items()}


def _code(node: Node, value: str) -> Code:
    both = schema.fields(node, value, required=["python", "java"])
    return Code(schema.text(both["python"], "python"), schema.text(both["java"], "java"))
