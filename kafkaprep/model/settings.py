"""What a setting is, and which value each scope of an experiment has.

A scope is where a setting lives: `producer`, `consumer`, `topic`, `broker` (Kafka's own names, as librdkafka
or the broker spells them) and `application` (code rather than configuration: when to commit, whether to flush).
Values are text, exactly as a `.properties` file would hold them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Scope(StrEnum):
    PRODUCER = "producer"
    CONSUMER = "consumer"
    TOPIC = "topic"
    BROKER = "broker"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """One setting of the allow-list in content/settings.yaml.

    `kind` is one of int, float, bool, enum, text. `minimum` and `maximum` bound numbers, `choices` an enum.
    `default` is the default of the client under test (librdkafka) for clients, of Apache Kafka for the rest.
    """

    scope: Scope
    name: str
    kind: str
    default: str | None
    meaning: str
    risks: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    java_name: str | None = None
    java_default: str | None = None
    aliases: tuple[str, ...] = ()
    spellings: tuple[tuple[str, str], ...] = ()
    since: str = ""
    changed: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.scope}.{self.name}"

    def allowed(self) -> str:
        """The permitted values as a phrase for people: `0, 1 or all`, `1 to 600000`."""
        if self.choices:
            *most, last = self.choices
            return f"{', '.join(most)} or {last}" if most else last
        if self.kind == "bool":
            return "true or false"
        if self.minimum is not None or self.maximum is not None:
            return f"{_number(self.minimum)} to {_number(self.maximum)}"
        if self.kind == "text":
            return "letters, digits, dots, hyphens and underscores, 100 at most"
        return f"any {self.kind}"


def _number(value: float | None) -> str:
    if value is None:
        return "any"
    return str(int(value)) if float(value).is_integer() else str(value)


@dataclass(frozen=True, slots=True)
class Settings:
    """Values by scope and name. Immutable; `merged` makes a new one."""

    values: Mapping[Scope, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        complete = {scope: MappingProxyType(dict(self.values.get(scope, {}))) for scope in Scope}
        object.__setattr__(self, "values", MappingProxyType(complete))

    def __getitem__(self, scope: Scope) -> Mapping[str, str]:
        return self.values[scope]

    def get(self, scope: Scope, name: str, default: str) -> str:
        return self.values[scope].get(name, default)

    def __iter__(self) -> Iterator[tuple[Scope, str, str]]:
        for scope in Scope:
            for name, value in self.values[scope].items():
                yield scope, name, value

    def merged(self, other: Settings) -> Settings:
        """These settings with every value of `other` laid over them."""
        return Settings({scope: {**self.values[scope], **other.values[scope]} for scope in Scope})

    def as_dict(self) -> dict[str, dict[str, str]]:
        return {str(scope): dict(sorted(self.values[scope].items())) for scope in Scope}

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, str]]) -> Settings:
        return cls({Scope(scope): dict(names) for scope, names in values.items()})
