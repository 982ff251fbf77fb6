"""How the rows of a saved run become attempts, and what a torn ledger may still prove."""

from __future__ import annotations

from typing import Any

import pytest
from histories import audit, bounds, c, p, r, st, torn, x

from kafkaprep.engine.audit.classes import Classification
from kafkaprep.engine.audit.from_history import Joined
from kafkaprep.engine.audit.judge import judge
from kafkaprep.errors import KafkaprepError
from kafkaprep.model.ledger import Row, RowReader, pack
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome, Promise


def classes(found: Classification) -> dict[str, list[object]]:
    return {name: tally.members for name, tally in found.classes.items()}


def outcomes(found: Classification) -> dict[str, str]:
    verdict = judge(found, list(Promise), Settings())
    return {str(result.name): str(result.outcome) for result in verdict.promises}


def test_a_clean_run() -> None:
    found = audit(2, [c(0), c(1), r(1, "a", 0), r(0, "a", 1)], [st(1, 0), st(0, 1)], [p(1, 0), p(0, 1)], bounds(2))
    assert classes(found) == {"reordered": [0]}, "the order is that of the calls, not of the reports"
    assert found.counts == {
        "planned": 2, "sent": 2, "reported_delivered": 2, "acked": 2, "failed": 0, "unknown": 0, "in_log": 2,
        "missing": 0, "lost": 0, "duplicated_in_log": 0, "processed": 2, "processed_twice": 0, "unprocessed": 0,
        "skipped": 0, "reordered": 1, "aborted_seen": 0,
    }  # fmt: skip


ATTEMPTS: list[tuple[str, list[Row], dict[str, int]]] = [
    ("no report", [c(0)], {"sent": 1, "unknown": 1}),
    ("refused", [c(0), x(0)], {}),
    ("refused, then acked", [c(0), x(0), c(0, 1), r(0, "a", 0, 1)], {"sent": 1, "acked": 1, "reported_delivered": 1}),
    ("failed", [c(0), r(0, "f", error=-140)], {"sent": 1, "failed": 1}),
    ("acks=0: reported, yet unknown", [c(0), r(0, "u")], {"sent": 1, "unknown": 1, "reported_delivered": 1}),
    ("timed out", [c(0), r(0, "u", error=-192)], {"sent": 1, "unknown": 1}),
    ("failed, then no report", [c(0), r(0, "f", error=-140), c(0, 1)], {"sent": 1, "unknown": 1}),
    ("a report without a call", [r(0, "a", 0)], {"sent": 1, "acked": 1, "reported_delivered": 1}),
    ("two producers", [c(0), c(0, producer=1), r(0, "f", error=1)], {"sent": 1, "unknown": 1}),
    ("a second life of the producer", [c(0), c(0), r(0, "a", 0)], {"sent": 1, "acked": 1, "reported_delivered": 1}),
]


@pytest.mark.parametrize(("rows", "expected"), [row[1:] for row in ATTEMPTS], ids=[row[0] for row in ATTEMPTS])
def test_attempts(rows: list[Row], expected: dict[str, int]) -> None:
    found = audit(1, rows, [st(0, 0)], [p(0, 0)], bounds(1))
    names = ("sent", "acked", "failed", "unknown", "reported_delivered")
    assert {name: found.counts[name] for name in names if found.counts[name]} == expected


def test_the_first_life_of_a_producer_stays_unknown() -> None:
    """Its message may be in partition 1, which was read short: the loss is not proven."""
    limits = bounds(1)
    limits["partitions"]["1"] = {"log_start": 0, "end": 9, "last_stable": 9, "read_to": 0}
    once = audit(1, [c(0), r(0, "a", 0)], [], [], limits, partitions=2)
    twice = audit(1, [c(0), c(0), r(0, "a", 0)], [], [], limits, partitions=2)
    assert (once.fates, twice.fates) == ({"lost": 1}, {"inconclusive": 1})


def test_keys_are_the_id_modulo() -> None:
    rows = [st(0, 0), st(1, 1), st(2, 0, "+", 1), st(9, 2, "+", 1)]
    limits = bounds(2)
    limits["partitions"]["1"] = limits["partitions"]["0"]
    found = audit(4, [], rows, [], limits, partitions=2)
    assert classes(found)["key_split"] == ["0"], "the unexpected id 9 has no key"


def test_compaction_needs_the_plan_to_say_so() -> None:
    sends = [c(0), r(0, "a", 0), c(2), r(2, "a", 1)]
    for compacted, fate in ((True, "compacted_away"), (False, "lost")):
        found = audit(3, sends, [st(2, 1)], [p(2, 1)], bounds(2), compacted=compacted)
        assert found.fates == {fate: 1, "never_sent": 1, "processed_once": 1}


def test_a_partition_without_bounds_was_not_read() -> None:
    assert audit(1, [c(0), r(0, "a", 0)], [], [], {"partitions": {}}).fates == {"inconclusive": 1}
    found = audit(1, [c(0)], [], [], bounds(1), partitions=2)
    assert found.fates == {"inconclusive": 1}, "partition 1 is in the plan"
    assert found.facts.partial


def test_commits() -> None:
    sends, log = [c(0), r(0, "a", 0)], [st(0, 0)]
    for commit, fate in ((None, "unprocessed"), (0, "pending"), (1, "skipped"), (-1001, "pending")):
        assert audit(1, sends, log, [], bounds(1, commit=commit)).fates == {fate: 1}


def test_joined_files_are_torn_if_one_is() -> None:
    whole, damaged = pack(c(0)), pack(c(1))[:-1]
    joined = Joined([RowReader(whole + damaged), RowReader(whole)])
    assert not joined.torn
    assert [row.id for row in joined] == [0, 0]
    assert joined.torn
    assert audit(2, joined, [], [], bounds(0)).facts.sends_torn


def test_joined_files_are_merged_by_time() -> None:
    """Consumer 1 took the partition over from consumer 2: that is not out of order."""
    first = pack(p(1, 1)._replace(ticks=20))
    second = pack(p(0, 0)._replace(ticks=10))
    joined = Joined([RowReader(first), RowReader(second)])
    assert "processed_out_of_order" not in audit(2, SENDS, LOG, joined, bounds(2)).classes
    assert classes(audit(2, SENDS, LOG, list(reversed(list(joined))), bounds(2))) == {"processed_out_of_order": [0]}


BAD_BOUNDS: list[dict[str, Any]] = [
    {"partitions": []},
    {"partitions": {"x": {}}},
    {"partitions": {"0": None}},
    {"partitions": {"0": {"log_start": 0, "end": True, "read_to": 0}}},
    {"partitions": {"0": {"log_start": -1, "end": 0, "read_to": 0}}},
    {"committed_offsets": [0]},
    {"committed_offsets": {"0": "1"}},
]


@pytest.mark.parametrize("limits", BAD_BOUNDS)
def test_damaged_bounds(limits: dict[str, Any]) -> None:
    with pytest.raises(KafkaprepError, match=r"bounds\.json|damaged"):
        audit(1, [], [], [], limits)


def test_damaged_rows() -> None:
    with pytest.raises(KafkaprepError, match="unknown outcome 9"):
        audit(1, [c(0), r(0, "a")._replace(code=9)], [], [], bounds(0))
    with pytest.raises(KafkaprepError, match="unknown code 9"):
        audit(1, [], [st(0, 0)._replace(code=9)], [], bounds(0))
    with pytest.raises(KafkaprepError, match="Partition -1"):
        audit(1, [], [], [p(0, 0, -1)], bounds(0))


SENDS = [c(0), r(0, "a", 0), c(1), r(1, "a", 1)]
LOG = [st(0, 0), st(1, 1)]
DONE = [p(0, 0), p(1, 1)]


def test_whole_ledgers_keep_every_promise_they_can_prove() -> None:
    found = audit(2, SENDS, LOG, DONE, bounds(2, commit=2))
    assert not found.facts.partial
    observed = {"readable_within": "inconclusive", "sink_matches": "inconclusive"}
    assert outcomes(found) == {**dict.fromkeys(map(str, Promise), "kept"), **observed}


# Promises that stay kept although that ledger is torn, because what is left proves them.
STILL_KEPT = {
    "sends": {
        Promise.ALL_ARRIVE, Promise.NO_LOG_DUPLICATES, Promise.KEYS_TOGETHER, Promise.NOTHING_SKIPPED,
        Promise.PROCESSED_ONCE, Promise.NO_ABORTED_SEEN, Promise.NO_PHANTOM,
    },
    "log": {
        Promise.NO_REPORTED_LOSS, Promise.NO_ACKED_LOSS, Promise.ALL_ARRIVE, Promise.ALL_ACCEPTED,
        Promise.NOTHING_SKIPPED, Promise.PROCESSED_ONCE, Promise.NO_ABORTED_SEEN, Promise.NO_PHANTOM,
    },
    "processed": {
        Promise.NO_REPORTED_LOSS, Promise.NO_ACKED_LOSS, Promise.ALL_ARRIVE, Promise.ALL_ACCEPTED,
        Promise.NO_LOG_DUPLICATES, Promise.ORDER_KEPT, Promise.KEYS_TOGETHER,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", STILL_KEPT)
def test_torn_ledgers_that_show_no_fault(name: str) -> None:
    ledgers = {"sends": SENDS, "log": LOG, "processed": DONE}
    ledgers[name] = torn(ledgers[name])
    found = audit(2, ledgers["sends"], ledgers["log"], ledgers["processed"], bounds(2, commit=2))
    assert found.facts.partial
    expected = {str(promise): "kept" if promise in STILL_KEPT[name] else "inconclusive" for promise in Promise}
    assert outcomes(found) == expected


def test_every_cut_of_every_ledger_is_never_kept_where_the_whole_is_broken() -> None:
    """One history that breaks all that a history can; its ledgers, torn anywhere, hide but never deny it."""
    sends = [
        c(0), c(1), c(2), c(3), c(5), r(0, "a", 0), r(1, "a", 1), r(2, "a", 9), r(3, "f", error=1), r(5, "a", 5), c(4),
    ]  # fmt: skip
    log = [st(1, 0), st(0, 1), st(1, 2), st(4, 3, "-"), st(0, 6, "+", 1), st(5, 5)]
    processed = [p(0, 1), p(0, 1), p(4, 3), p(2, 4), p(1, 0)]
    limits = bounds(10, commit=10)
    limits["partitions"]["1"] = limits["partitions"]["0"]
    whole = outcomes(audit(6, sends, log, processed, limits, partitions=2))
    broken = {name for name, outcome in whole.items() if outcome == "broken"}
    assert broken == set(map(str, Promise)) - {"readable_within", "sink_matches"}
    for cut in range(len(sends)):
        hidden = outcomes(audit(6, torn(sends[:cut]), log, processed, limits, partitions=2))
        assert "kept" not in {hidden[name] for name in broken}, f"sends cut at {cut}"
    for cut in range(len(log)):
        hidden = outcomes(audit(6, sends, torn(log[:cut]), processed, limits, partitions=2))
        assert "kept" not in {hidden[name] for name in broken}, f"log cut at {cut}"
    for cut in range(len(processed)):
        hidden = outcomes(audit(6, sends, log, torn(processed[:cut]), limits, partitions=2))
        assert "kept" not in {hidden[name] for name in broken}, f"processed cut at {cut}"


def test_every_cut_of_every_ledger_is_never_broken_where_the_whole_is_kept() -> None:
    sends = [*SENDS, c(2), r(2, "f", error=-140), c(2, 1), r(2, "a", 2, attempt=1)]
    log, processed = [*LOG, st(2, 2)], [*DONE, p(2, 2)]
    limits = bounds(3, commit=3)
    assert "broken" not in outcomes(audit(3, sends, log, processed, limits)).values()
    for cut in range(len(sends)):
        assert "broken" not in outcomes(audit(3, torn(sends[:cut]), log, processed, limits)).values()
    for cut in range(len(log)):
        assert "broken" not in outcomes(audit(3, sends, torn(log[:cut]), processed, limits)).values()
    for cut in range(len(processed)):
        assert "broken" not in outcomes(audit(3, sends, log, torn(processed[:cut]), limits)).values()


def test_a_torn_send_ledger_asks_for_a_complete_read() -> None:
    """A call that nobody recorded may stand where the read did not reach."""
    sends = torn([c(0), r(0, "a", 0)])
    assert audit(1, sends, [], [], bounds(9, read_to=5)).fates == {"inconclusive": 1}
    assert audit(1, sends, [], [], bounds(9)).fates == {"lost": 1}
    assert outcomes(audit(1, torn([]), [], [], bounds(9, read_to=5)))["all_arrive"] == Outcome.INCONCLUSIVE
