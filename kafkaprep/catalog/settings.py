"""The allow-list: no other setting reaches a client or a broker.

Read from content/settings.yaml. A name may also be given by an alias; the specification found carries the name
that librdkafka or the broker uses, and `check` gives the value in its one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from kafkaprep import paths
from kafkaprep.catalog import schema, strict_yaml
from kafkaprep.catalog.strict_yaml import Node, shown
from kafkaprep.errors import UsageError
from kafkaprep.model.settings import Scope, SettingSpec

Value = str | int | float | bool

_LOADS_CODE = "It would load code of the learner's choice into a client or a broker."
_SECURES = "The lab cluster listens on this machine only and uses neither encryption nor passwords."

# Refused in every scope, whatever content/settings.yaml says: pattern -> reason.
REFUSED: Mapping[str, str] = {
    "bootstrap.servers": "The lab decides which cluster a client talks to.",
    "metadata.broker.list": "The lab decides which cluster a client talks to.",
    "plugin.library.paths": _LOADS_CODE,
    "*interceptor*": _LOADS_CODE,
    "*reporter*": _LOADS_CODE,
    "*serializer*": _LOADS_CODE,
    "*.class": _LOADS_CODE,
    "*.class.name": _LOADS_CODE,
    "*oauthbearer*": "It can start a command or send a token elsewhere.",
    "security.*": _SECURES,
    "sasl.*": _SECURES,
    "ssl.*": _SECURES,
    "test.mock.*": "It would replace the cluster under test by a simulated one.",
    "*.path": "A lab names no files on your machine.",
    "*.paths": "A lab names no files on your machine.",
    "*.location": "A lab names no files on your machine.",
    "log.dir*": "A lab names no files on your machine.",
    "statistics.*": "It would flood the run with statistics that nothing reads.",
    "stats_cb": "It would flood the run with statistics that nothing reads.",
    "debug": "It would flood the run with messages that nothing reads.",
}

_INT = re.compile(r"-?[0-9]{1,19}")
_FLOAT = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")
_TEXT = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KINDS = ("int", "float", "bool", "enum", "text")


@dataclass(frozen=True, slots=True)
class SettingsTable:
    """Every setting a lab or a learner may set, by scope and name."""

    specs: Mapping[Scope, Mapping[str, SettingSpec]]

    def __iter__(self) -> Iterator[SettingSpec]:
        for names in self.specs.values():
            yield from names.values()

    def find(self, scope: Scope | str, name: str) -> SettingSpec:
        """The setting called `name`, or known by that alias. Raises UsageError with the nearest name."""
        scope = self._scope(scope)
        for pattern, reason in REFUSED.items():
            if fnmatchcase(name.lower(), pattern):
                raise UsageError(f"{scope}.{shown(name)} cannot be set here. {reason}")
        names = self.specs[scope]
        if name in names:
            return names[name]
        for spec in names.values():
            if name in spec.aliases:
                return spec
        for spec in names.values():
            if name == spec.java_name:
                raise UsageError(
                    f"{name} is the Java client's nearest to {spec.full_name}, which works differently here.",
                    f"Set {spec.full_name}: {spec.allowed()}.",
                )
        elsewhere = [str(other) for other in Scope if name in self.specs[other]]
        if elsewhere:
            raise UsageError(f"{shown(name)} is no {scope} setting.", f"Did you mean {elsewhere[0]}.{name}?")
        known = [*names, *(alias for spec in names.values() for alias in spec.aliases)]
        raise UsageError(f"There is no {scope} setting {shown(name)} here.", schema.did_you_mean(name, known))

    def check(self, scope: Scope | str, name: str, value: Value) -> str:
        """`value` in its one spelling. Raises UsageError that names what is allowed."""
        spec = self.find(scope, name)
        text = str(value).lower() if isinstance(value, bool) else str(value).strip()
        checked = _spelled(spec, text)
        if checked is None:
            raise UsageError(f"{spec.full_name} cannot be {shown(text) or 'empty'}.", f"Allowed: {spec.allowed()}.")
        return checked

    def parse_assignment(self, assignment: str) -> tuple[Scope, str, str]:
        """`producer.acks=all` as scope, name and value, all checked. Raises UsageError."""
        left, equals, value = assignment.partition("=")
        scope, dot, name = left.strip().partition(".")
        if not equals or not left.strip():
            raise UsageError(f"{shown(assignment)} sets nothing.", "Write scope.name=value, as in producer.acks=all.")
        if scope not in list(Scope):
            known = [spec.full_name for spec in self if left.strip() in (spec.name, *spec.aliases)]
            hint = f"Did you mean {known[0]}?" if known else schema.did_you_mean(scope, list(Scope))
            raise UsageError(f"{shown(left.strip())} does not start with a scope.", hint)
        if not dot or not name:
            raise UsageError(
                f"{shown(assignment)} names no setting.", "Write scope.name=value, as in producer.acks=all."
            )
        spec = self.find(scope, name)
        return spec.scope, spec.name, self.check(scope, name, value)

    @staticmethod
    def _scope(scope: Scope | str) -> Scope:
        try:
            return Scope(scope)
        except ValueError:
            hint = schema.did_you_mean(scope, list(Scope))
            raise UsageError(f"There is no scope {shown(scope)}.", hint) from None


def load_settings(file: Path | None = None) -> SettingsTable:
    """The table in `file`, or the one that comes with the program. Raises ContentError."""
    return _read(file or paths.content() / "settings.yaml")


@cache
def _read(file: Path) -> SettingsTable:
    root = strict_yaml.read(file, strict_yaml.SHIPPED)
    scopes = schema.fields(root, "The settings table", required=["format_version", *Scope])
    schema.integer(scopes["format_version"], "format_version", 1, 1)
    return SettingsTable(
        {
            scope: {
                name: _spec(scope, name, node) for name, node in schema.mapping(scopes[scope], scope).entries.items()
            }
            for scope in Scope
        }
    )


def _spec(scope: Scope, name: str, node: Node) -> SettingSpec:
    what = f"{scope}.{name}"
    entries = schema.fields(
        node,
        what,
        required=["kind", "default", "meaning"],
        optional=[
            *("risks", "minimum", "maximum", "choices", "spellings", "aliases"),
            *("java_name", "java_default", "since", "changed"),
        ],
    )

    def words(key: str) -> tuple[str, ...]:
        return schema.texts(entries[key], f"{what} {key}") if key in entries else ()

    def phrase(key: str) -> str | None:
        return schema.text(entries[key], f"{what} {key}") if key in entries else None

    def bound(key: str) -> int | float | None:
        return schema.number(entries[key], f"{what} {key}") if key in entries else None

    kind = schema.text(entries["kind"], f"{what} kind")
    if kind not in _KINDS:
        raise schema.error_at(entries["kind"].place, f"{what} has no such kind.", schema.did_you_mean(kind, _KINDS))
    spellings: tuple[tuple[str, str], ...] = ()
    if "spellings" in entries:
        other = schema.mapping(entries["spellings"], f"{what} spellings").entries
        spellings = tuple((key, schema.text(to, f"{what} spelling")) for key, to in other.items())
    unset = isinstance(entries["default"], strict_yaml.ScalarNode) and entries["default"].value is None
    spec = SettingSpec(
        scope=scope,
        name=name,
        kind=kind,
        default=None if unset else schema.scalar(entries["default"], f"{what} default").text,
        meaning=schema.text(entries["meaning"], f"{what} meaning"),
        risks=phrase("risks") or "",
        minimum=bound("minimum"),
        maximum=bound("maximum"),
        choices=words("choices"),
        java_name=phrase("java_name"),
        java_default=phrase("java_default"),
        aliases=words("aliases"),
        spellings=spellings,
        since=phrase("since") or "",
        changed=phrase("changed") or "",
    )
    if (kind == "enum") != bool(spec.choices):
        raise schema.error_at(node.place, f"{what} needs choices if, and only if, its kind is enum.")
    if kind in ("int", "float") and (spec.minimum is None or spec.maximum is None):
        raise schema.error_at(node.place, f"{what} is a number and needs minimum and maximum.")
    return spec


def _spelled(spec: SettingSpec, text: str) -> str | None:
    """`text` in the one spelling of this setting; None when it is not allowed."""
    match spec.kind:
        case "bool":
            return text.lower() if text.lower() in ("true", "false") else None
        case "enum":
            choice = dict(spec.spellings).get(text, text)
            return choice if choice in spec.choices else None
        case "text":
            return text if _TEXT.fullmatch(text) else None
        case _:
            pattern = _INT if spec.kind == "int" else _FLOAT
            if not text.isascii() or not pattern.fullmatch(text):
                return None
            number = int(text) if _INT.fullmatch(text) else float(text)
            return str(number) if _within(number, spec) else None


def _within(number: int | float, spec: SettingSpec) -> bool:
    low, high = spec.minimum, spec.maximum
    return (low is None or number >= low) and (high is None or number <= high)
