"""One line of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """`value` and `goal` share a unit; `against` names the opponent; `detail` holds the figures behind the ratio."""

    name: str
    value: float
    against: str
    goal: float
    unit: str = "×"
    detail: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.value <= self.goal

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "against": self.against,
            "goal": self.goal,
            "met": self.met,
            "unit": self.unit,
            "detail": {name: round(value, 3) for name, value in self.detail.items()},
        }
