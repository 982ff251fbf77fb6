"""What safety costs: latency and throughput before the first fault.

Later messages waited for brokers to come back, so they would measure the fault and not the settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kafkaprep.model.ledger import TICKS_PER_SECOND, Row, RowKind


@dataclass(frozen=True, slots=True)
class Price:
    """Over `messages` messages: produce() call to delivery report in ms, and reports per second of that stretch.

    None where fewer than two messages were reported before the first fault.
    """

    messages: int
    p50_ms: float | None
    p99_ms: float | None
    per_s: float | None

    def as_dict(self) -> dict[str, float | int | None]:
        return {"messages": self.messages, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms, "per_s": self.per_s}


def price(rows: Iterable[Row], first_fault_s: float | None) -> Price:
    """From the send ledger's rows, in file order."""
    until = float("inf") if first_fault_s is None else first_fault_s * TICKS_PER_SECOND
    called: dict[tuple[int, int, int], int] = {}
    waits: list[int] = []
    first, last = 0, 0
    for row in rows:
        key = (row.id, row.attempt, row.actor)
        if row.kind == RowKind.CALLED and row.ticks < until:
            first = row.ticks if not called else first
            called[key] = row.ticks
        elif row.kind == RowKind.REPORTED and key in called and row.ticks < until:
            waits.append(row.ticks - called[key])
            last = max(last, row.ticks)
    if len(waits) < 2:
        return Price(len(waits), None, None, None)
    waits.sort()
    stretch = max(1, last - first) / TICKS_PER_SECOND
    return Price(len(waits), _ms(waits, 0.50), _ms(waits, 0.99), round(len(waits) / stretch, 1))


def _ms(ordered: list[int], share: float) -> float:
    """The nearest-rank percentile, in milliseconds."""
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 / TICKS_PER_SECOND, 2)
