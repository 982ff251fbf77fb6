"""Random ledger documents, small enough that every rule meets every other."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

PARTITIONS = st.integers(0, 1)
OFFSETS = st.integers(0, 5)
IDS = st.integers(0, 5)


def _or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


SENDS = st.fixed_dictionaries(
    {
        "id": IDS,
        "outcome": st.sampled_from(["acked", "acked", "failed", "unknown"]),
        "partition": _or_none(PARTITIONS),
        "offset": _or_none(st.integers(-1, 5)),
    },
    optional={
        "reported": st.sampled_from(["ok", "error", None]),
        "producer": st.sampled_from(["p1", "p2"]),
        "key": st.sampled_from(["k1", "k2"]),
        "txn": st.sampled_from(["t1", "t2"]),
    },
)
STORED = st.fixed_dictionaries(
    {
        "partition": PARTITIONS,
        "offset": OFFSETS,
        "id": IDS | st.just(99),
        "committed": st.sampled_from([True, True, True, False, None]),
    }
)
HANDLED = st.fixed_dictionaries(
    {"consumer": st.just("c"), "partition": PARTITIONS, "offset": OFFSETS, "id": IDS | st.just(98)}
)


def _per_partition(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(["0", "1"]), values, max_size=2)


DOCUMENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "sends": st.lists(SENDS, max_size=10),
        "log": st.lists(STORED, max_size=10),
        "processed": st.lists(HANDLED, max_size=8),
    },
    optional={
        "planned": st.lists(st.integers(0, 7), max_size=8),
        "committed_offsets": _per_partition(st.integers(0, 6)),
        "log_start": _per_partition(st.integers(0, 3)),
        "final_read": _per_partition(st.fixed_dictionaries({"read_to": OFFSETS, "end": OFFSETS})),
        "compacted": st.booleans(),
    },
)
