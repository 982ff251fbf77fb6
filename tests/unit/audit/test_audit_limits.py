"""Counters saturate, ids may be sparse, offsets may be huge, and large ledgers are quick."""

from __future__ import annotations

import time

import pytest
from histories import audit, bounds, c, classes, h, p, r, s, st, w

from kafkaprep.engine.audit.classes import classify
from kafkaprep.engine.audit.document import parse_document
from kafkaprep.engine.audit.ledger import ACKED, LedgerBuilder
from kafkaprep.errors import KafkaprepError

FAR = 5_000_000_000


def test_300_copies_saturate() -> None:
    copies = [w(1, offset) for offset in range(300)]
    assert classes([s(1, "u")], copies, [h(1, 0)]) == {"unknown_but_present": [1], "duplicated_in_log": [1]}
    assert classes([s(1, "f")], [w(1, offset, "-") for offset in range(256)]) == {"aborted_clean": [1]}
    assert classes([s(1, "f")], [w(1, offset, "?") for offset in range(256)]) == {"undecided": [1]}


def test_300_handlings_saturate() -> None:
    found = classes([s(1, "a", 0, 0)], [w(1, 0)], [h(1, 0)] * 256)
    assert found == {"processed_twice": [1], "redelivered": [1]}


@pytest.mark.parametrize("big", [10**6, 2**32, 2**64 - 1, 10**30])
def test_sparse_huge_ids(big: int) -> None:
    sends = [s(big, "a", 0, 0), s(0, "a", 0, 1), s(big + 1, "a", 0, 2)]
    found = classes(sends, [w(big, 0), w(0, 1), w(big + 9, 3)], [h(big, 0), h(0, 1)])
    assert found == {"lost": [big + 1], "unexpected": [big + 9]}


def test_members_are_sorted_by_id_not_by_arrival() -> None:
    assert classes([s(900, "f"), s(5, "f"), s(70, "f")]) == {"lost_before_broker": [5, 70, 900]}


@pytest.mark.parametrize("start", [{"0": FAR}, None])
def test_offsets_beyond_32_bits(start: object) -> None:
    sends = [s(1, "a", 0, FAR), s(2, "a", 0, FAR + 1), s(3, "a", 0, FAR + 2)]
    found = classes(sends, [w(1, FAR), w(3, FAR + 2)], [h(1, FAR), h(3, FAR + 2)], log_start=start)
    assert found == {"lost": [2]}


def test_offsets_that_differ_by_two_to_the_32nd_are_different() -> None:
    last = 2**32 - 2
    found = classes([s(1, "a", 0, 0), s(2, "a", 0, last)], [w(1, 0), w(2, last)], [h(1, 0), h(2, last)])
    assert found == {}
    sends = [s(1, "a", 0, 0), s(2, "a", 0, 2**32)]
    assert classes(sends, [w(1, 0)], [h(1, 0)]) == {"lost": [2]}


@pytest.mark.parametrize("offsets", [(0, 2**32 - 1), (2**32 - 1, 0)])
def test_a_wider_span_is_refused(offsets: tuple[int, int]) -> None:
    with pytest.raises(KafkaprepError, match="spans offsets 0 to 4294967295"):
        classes([], [w(1, offset) for offset in offsets])


def test_the_span_counts_from_the_start_of_the_log() -> None:
    with pytest.raises(KafkaprepError, match="spans offsets 0 to 5000000000"):
        classes([], [w(1, FAR)], log_start={"0": 0})


def test_partitions_have_a_limit() -> None:
    with pytest.raises(KafkaprepError, match="Partition 32768"):
        LedgerBuilder().sent(1, ACKED, 32768, 0)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_large_ledger_takes_seconds(mixed: bool) -> None:
    n = 50_000 if mixed else 200_000
    order = range(n - 1, -1, -1) if mixed else range(n)
    began = time.process_time()
    found = audit(
        n,
        [row for i in range(n) for row in (c(i), r(i, "a", i))],
        [st(i, i) for i in order if i % 1000],
        [p(i, i) for i in range(n) if i % 1000],
        bounds(n, commit=n),
    )
    assert found.counts["lost"] == n // 1000
    assert found.fates == {"lost": n // 1000, "processed_once": n - n // 1000}
    assert time.process_time() - began < 20  # about 3 s on a laptop


def test_memory_per_message_is_small() -> None:
    ledger = parse_document({"sends": [s(i, "a", 0, i) for i in range(100)], "log": [], "processed": []})
    per_id = (
        ledger.marks, ledger.best, ledger.first_outcome, ledger.committed_rows, ledger.aborted_rows,
        ledger.undecided_rows, ledger.processed_rows, ledger.first_partition, ledger.first_offset, ledger.rank,
    )  # fmt: skip
    assert sum(len(memoryview(numbers).cast("B")) for numbers in per_id) == 21 * 100
    assert classify(ledger).counts["planned"] == 100
