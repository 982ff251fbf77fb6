"""An exact count beside a bounded list of what was counted."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """`members` keeps the order of adding and at most `limit` of them (None: all)."""

    limit: int | None = None
    count: int = 0
    members: list[object] = field(default_factory=list)

    def add(self, member: object) -> None:
        self.count += 1
        if self.limit is None or self.count <= self.limit:
            self.members.append(member)
