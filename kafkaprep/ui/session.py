"""What the learner has chosen in each lab, kept while the app is open."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafkaprep.engine.predict import Prediction
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Scope, Settings


@dataclass(slots=True)
class Session:
    """One lab's choices: changed settings, the prediction, and how many hints were shown."""

    lab: Lab
    changed: dict[tuple[Scope, str], str] = field(default_factory=dict)
    prediction: Prediction | None = None
    hints_shown: int = 0

    @property
    def changes(self) -> Settings:
        values: dict[Scope, dict[str, str]] = {}
        for (scope, name), value in self.changed.items():
            values.setdefault(scope, {})[name] = value
        return Settings(values)

    def start_value(self, scope: Scope, name: str) -> str | None:
        """What the lab starts with; None where it leaves the default."""
        return self.lab.start[scope].get(name)

    def set(self, scope: Scope, name: str, value: str | None) -> None:
        """Choose `value`; the lab's own value, or None, takes the change back."""
        if value is None or value == self.start_value(scope, name):
            self.changed.pop((scope, name), None)
        else:
            self.changed[scope, name] = value

    def next_hint(self) -> bool:
        """Show one more hint; False when all are shown."""
        if self.hints_shown >= len(self.lab.hints):
            return False
        self.hints_shown += 1
        return True
