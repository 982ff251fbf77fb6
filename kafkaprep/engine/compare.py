"""Two runs of one lab side by side: what changed and what it cost."""

from __future__ import annotations

from typing import Any

from kafkaprep.engine.price import Price, price
from kafkaprep.engine.saved_run import SavedRun


def price_of(saved: SavedRun) -> Price:
    """The price of the run's settings, from its send ledgers."""
    faults = saved.faults
    return price(saved.send_rows(), min((fault["at_s"] for fault in faults), default=None))


def difference(a: SavedRun, b: SavedRun) -> dict[str, Any]:
    """Settings that differ as [a, b]; counts and price that differ as [a, b]; the two outcomes."""
    settings_a = {f"{scope}.{name}": value for scope, name, value in a.settings}
    settings_b = {f"{scope}.{name}": value for scope, name, value in b.settings}
    counts_a, counts_b = a.verdict.counts, b.verdict.counts
    price_a, price_b = price_of(a).as_dict(), price_of(b).as_dict()
    return {
        "settings": _pairs(settings_a, settings_b),
        "outcome": [str(a.outcome), str(b.outcome)],
        "counts": _pairs(dict(counts_a), dict(counts_b)),
        "price": {name: [price_a[name], price_b[name]] for name in price_a},
    }


def _pairs(a: dict[str, Any], b: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [a.get(name), b.get(name)] for name in sorted({*a, *b}) if a.get(name) != b.get(name)}
