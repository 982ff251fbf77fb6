"""Each class and each settled reading, on histories of a few rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from histories import classes, h, s, w

from kafkaprep.engine.audit.classes import CLASSES, classify
from kafkaprep.engine.audit.document import answer_document, parse_document

EXAMPLES = Path(__file__).parents[2] / "fixtures" / "audit_examples.jsonl"
SHORT = {"0": {"read_to": 1, "end": 9}}
OK = [h(1, 0)]


@pytest.mark.parametrize("line", EXAMPLES.read_text().splitlines(), ids=lambda line: json.loads(line)["name"])
def test_judged_examples(line: str) -> None:
    document = json.loads(line)
    assert answer_document(document) == {
        "name": document["name"],
        "classes": {name: members for name, members in document["expect"].items() if members},
    }


TABLE: list[tuple[str, Any, Any]] = [
    ("nothing at all", classes([]), {}),
    ("never_sent", classes([], planned=[3, 1]), {"never_sent": [1, 3]}),
    ("lost_before_broker", classes([s(1, "f")]), {"lost_before_broker": [1]}),
    ("lost_before_broker, short read", classes([s(1, "f")], final_read=SHORT), {"lost_before_broker": [1]}),
    ("aborted_clean", classes([s(1, "f")], [w(1, 0, "-")]), {"aborted_clean": [1]}),
    ("failed_but_present", classes([s(1, "f")], [w(1, 0)], OK), {"failed_but_present": [1]}),
    ("unknown_but_present", classes([s(1, "u")], [w(1, 0)], OK), {"unknown_but_present": [1]}),
    ("unknown_absent", classes([s(1, "u", 0)]), {"unknown_absent": [1]}),
    ("unknown, only aborted", classes([s(1, "u")], [w(1, 0, "-")], final_read=SHORT), {"unknown_absent": [1]}),
    ("unknown, short read", classes([s(1, "u", 0)], final_read=SHORT), {"inconclusive": [1]}),
    ("unknown, its partition was read", classes([s(1, "u", 1)], final_read=SHORT), {"unknown_absent": [1]}),
    ("unknown, any partition", classes([s(1, "u")], final_read=SHORT), {"inconclusive": [1]}),
    ("unknown, log begins late", classes([s(1, "u", 0)], log_start={"0": 1}), {"inconclusive": [1]}),
    ("lost", classes([s(1, "a", 0, 0)]), {"lost": [1]}),
    ("lost, only aborted", classes([s(1, "a", 0, 0)], [w(1, 0, "-")]), {"lost": [1]}),
    ("lost, offset inside a short read", classes([s(1, "a", 0, 0)], final_read=SHORT), {"lost": [1]}),
    ("acked beyond a short read", classes([s(1, "a", 0, 1)], final_read=SHORT), {"inconclusive": [1]}),
    ("acked without offset", classes([s(1, "a", 0)]), {"lost": [1]}),
    ("acked at a negative offset", classes([s(1, "a", 0, -1)], log_start={"0": 1}), {"inconclusive": [1]}),
    (
        "lost needs the partitions of its unknown attempts",
        classes([s(1, "a", 1, 0), s(1, "u", 0)], final_read=SHORT),
        {"inconclusive": [1]},
    ),
    (
        "a failed attempt beside an acked one asks for nothing",
        classes([s(1, "a", 1, 0), s(1, "f", 0)], final_read=SHORT),
        {"lost": [1]},
    ),
    ("the best outcome counts", classes([s(1, "a", 0, 0), s(1, "f"), s(1, "u")], [w(1, 0)], OK), {}),
    ("undecided", classes([s(1, "f")], [w(1, 0, "?")]), {"undecided": [1]}),
    (
        "duplicated, processed",
        classes([s(1, "a", 0, 0)], [w(1, 0), w(1, 1)], [h(1, 0), h(1, 1)]),
        {"duplicated_in_log": [1], "processed_twice": [1]},
    ),
    (
        "duplicated in two partitions",
        classes([s(1, "u")], [w(1, 0), w(1, 0, "+", 1)], OK),
        {"unknown_but_present": [1], "duplicated_in_log": [1]},
    ),
    ("aborted copies do not count", classes([s(1, "a", 0, 1)], [w(1, 0, "-"), w(1, 1)], [h(1, 1)]), {}),
    ("identical rows count once", classes([s(1, "a", 0, 0)], [w(1, 0), w(1, 0)], OK), {}),
    ("redelivered", classes([s(1, "a", 0, 0)], [w(1, 0)], OK + OK), {"processed_twice": [1], "redelivered": [1]}),
    (
        "redelivered where the log has nothing",
        classes([s(1, "f")], [], OK + OK),
        {"lost_before_broker": [1], "processed_twice": [1], "redelivered": [1], "phantom": [1]},
    ),
    ("unprocessed, commits not read", classes([s(1, "a", 0, 0)], [w(1, 0)]), {"unprocessed": [1]}),
    (
        "skipped",
        classes([s(1, "a", 0, 0)], [w(1, 0)], committed_offsets={"0": 1}),
        {"unprocessed": [1], "skipped": [1]},
    ),
    (
        "pending",
        classes([s(1, "a", 0, 0)], [w(1, 0)], committed_offsets={"0": 0}),
        {"unprocessed": [1], "pending": [1]},
    ),
    (
        "pending: nothing committed there",
        classes([s(1, "a", 0, 0)], [w(1, 0)], committed_offsets={}),
        {"unprocessed": [1], "pending": [1]},
    ),
    (
        "pending: one copy lies ahead",
        classes([s(1, "a", 0, 0)], [w(1, 0), w(1, 1)], committed_offsets={"0": 1}),
        {"duplicated_in_log": [1], "unprocessed": [1], "pending": [1]},
    ),
    (
        "aborted_seen goes by position",
        classes([s(1, "a", 0, 1)], [w(1, 0, "-"), w(1, 1)], [h(1, 0)]),
        {"aborted_seen": [1]},
    ),
    (
        "undecided_seen",
        classes([s(1, "u")], [w(1, 0, "?")], OK),
        {"undecided": [1], "undecided_seen": [1]},
    ),
    ("lost and phantom", classes([s(1, "a", 0, 0)], [], OK), {"lost": [1], "phantom": [1]}),
    ("no phantom before the log", classes([s(1, "f")], [], OK, log_start={"0": 1}), {"lost_before_broker": [1]}),
    (
        "no phantom beyond the read",
        classes([s(1, "a", 0, 5)], [], [h(1, 5)], final_read=SHORT),
        {"inconclusive": [1]},
    ),
    (
        "reordered within one producer",
        classes(
            [s(1, "u"), s(2, "u"), s(3, "u", producer="q")], [w(3, 0), w(2, 1), w(1, 2)], [h(3, 0), h(2, 1), h(1, 2)]
        ),
        {"unknown_but_present": [1, 2, 3], "reordered": [1]},
    ),
    (
        "reordered takes the lowest copy",
        classes([s(1, "u"), s(2, "u")], [w(1, 0), w(2, 1), w(1, 2)], [h(1, 0), h(2, 1)]),
        {"unknown_but_present": [1, 2], "duplicated_in_log": [1]},
    ),
    (
        "the rank is the first attempt's",
        classes([s(1, "f"), s(2, "a", 0, 0), s(1, "a", 0, 1)], [w(2, 0), w(1, 1)], [h(2, 0), h(1, 1)]),
        {"reordered": [1]},
    ),
    (
        "processed_out_of_order",
        classes([s(1, "a", 0, 0), s(2, "a", 0, 1)], [w(1, 0), w(2, 1)], [h(2, 1), h(1, 0), h(2, 1)]),
        {"processed_twice": [2], "redelivered": [2], "processed_out_of_order": [1]},
    ),
    (
        "offset_conflict of two acks",
        classes([s(1, "a", 0, 0), s(2, "a", 0, 0)]),
        {"lost": [1, 2], "offset_conflict": [[0, 0]]},
    ),
    (
        "offset_conflict with an unexpected row",
        classes([s(1, "a", 0, 0)], [w(1, 0), w(7, 0, "-")], OK),
        {"offset_conflict": [[0, 0]], "unexpected": [7]},
    ),
    (
        "offset_conflict with a processed row",
        classes([s(1, "a", 0, 0), s(2, "f")], [w(1, 0)], [h(1, 0), h(2, 0)]),
        {"lost_before_broker": [2], "phantom": [2], "offset_conflict": [[0, 0]]},
    ),
    (
        "failed sends are no witnesses, nor is anything before the log",
        classes([s(1, "a", 0, 0), s(2, "a", 0, 0), s(3, "f", 0, 1)], [], [h(1, 0), h(2, 0)], log_start={"0": 1}),
        {"lost_before_broker": [3]},
    ),
    ("ack_mismatch", classes([s(1, "a", 0, 0)], [w(1, 1)], [h(1, 1)]), {"ack_mismatch": [1]}),
    ("no ack_mismatch where compacted", classes([s(1, "a", 0, 0)], [w(1, 1)], [h(1, 1)], compacted=True), {}),
    ("no ack_mismatch beyond the read", classes([s(1, "a", 0, 5)], [w(1, 0)], OK, final_read=SHORT), {}),
    ("an aborted row satisfies the ack", classes([s(1, "a", 0, 1)], [w(1, 0), w(1, 1, "-")], OK), {}),
    (
        "torn_txns by a failed id",
        classes([s(1, "a", 0, 0, txn="t"), s(2, "f", txn="t")], [w(1, 0)], OK),
        {"lost_before_broker": [2], "torn_txns": ["t"]},
    ),
    (
        "undecided never tears",
        classes([s(1, "a", 0, 0, txn="t"), s(2, "u", txn="t")], [w(1, 0), w(2, 1, "?")], OK),
        {"undecided": [2]},
    ),
    (
        "inconclusive never tears",
        classes([s(1, "a", 0, 0, txn="t"), s(2, "f", txn="t")], [w(1, 0)], OK, final_read=SHORT),
        {"lost_before_broker": [2]},
    ),
    (
        "an id belongs to the transaction of each attempt",
        classes([s(1, "a", 0, 0, txn="t"), s(1, "f", txn="v"), s(2, "f", txn="v")], [w(1, 0)], OK),
        {"lost_before_broker": [2], "torn_txns": ["v"]},
    ),
    (
        "expired never tears",
        classes([s(1, "a", 0, 1, txn="t"), s(2, "a", 0, 0, txn="t")], [w(1, 1)], [h(1, 1)], log_start={"0": 1}),
        {"expired_unprocessed": [2]},
    ),
    ("expired, yet processed", classes([s(1, "a", 0, 0)], [], OK, log_start={"0": 1}), {}),
    (
        "not expired where one ack has no offset",
        classes([s(1, "a", 0, 0), s(1, "a", 0)], log_start={"0": 1}),
        {"inconclusive": [1]},
    ),
    (
        "not expired where an aborted row stands at the ack",
        classes([s(1, "a", 0, 0)], [w(1, 0, "-")], log_start={"0": 1}),
        {"lost": [1]},
    ),
    (
        "compacted_away wins over expired, and is no phantom",
        classes(
            [s(1, "a", 0, 1, key="k"), s(2, "a", 0, 2, key="k")],
            [w(2, 2)],
            [h(1, 1), h(2, 2)],
            compacted=True,
            log_start={"0": 1},
        ),
        {"compacted_away": [1]},
    ),
    (
        "an earlier message of the key does not compact",
        classes([s(1, "a", 0, 0, key="k"), s(2, "a", 0, 1, key="k")], [w(1, 0)], OK, compacted=True),
        {"lost": [2]},
    ),
    (
        "the later message must be committed and in the same partition",
        classes(
            [s(1, "a", 0, 0, key="k"), s(2, "f", key="k"), s(3, "u", key="k")],
            [w(2, 1, "-"), w(3, 2, "+", 1)],
            [h(3, 2, 1)],
            compacted=True,
        ),
        {"aborted_clean": [2], "unknown_but_present": [3], "lost": [1]},
    ),
    (
        "key_split",
        classes([s(1, "u", key="b"), s(2, "u", key="b")], [w(1, 0), w(2, 0, "+", 1)], [h(1, 0), h(2, 0, 1)]),
        {"unknown_but_present": [1, 2], "key_split": ["b"]},
    ),
    (
        "unexpected touches nothing else",
        classes([], [w(9, 3), w(9, 4), w(8, 5, "-")], [h(8, 5), h(9, 3), h(9, 3), h(7, 9)]),
        {"unexpected": [7, 8, 9]},
    ),
    ("sent beside the plan is known", classes([s(1, "a", 0, 0)], [], planned=[]), {"lost": [1]}),
    (
        "planned, stored, never sent",
        classes([], [w(1, 0)], OK, planned=[1]),
        {"never_sent": [1]},
    ),
]


@pytest.mark.parametrize(("found", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_classes(found: Any, expected: Any) -> None:
    assert found == expected


def test_every_class_has_a_row_in_the_table() -> None:
    assert {name for _, _, expected in TABLE for name in expected} == set(CLASSES)


FATES: list[tuple[str, Any]] = [
    ("never_sent", {"sends": [], "planned": [1]}),
    ("lost_before_broker", {"sends": [s(1, "f")]}),
    ("aborted_clean", {"sends": [s(1, "f")], "log": [w(1, 0, "-")]}),
    ("compacted_away", {
        "sends": [s(1, "a", 0, 0, key="k"), s(2, "a", 0, 1, key="k")], "planned": [1], "log": [w(2, 1)],
        "compacted": True}),
    ("expired_unprocessed", {"sends": [s(1, "a", 0, 0)], "log_start": {"0": 1}}),
    ("inconclusive", {"sends": [s(1, "u", 0)], "final_read": SHORT}),
    ("undecided", {"sends": [s(1, "a", 0, 0)], "log": [w(1, 0, "?")], "processed": OK}),
    ("unknown_absent", {"sends": [s(1, "u", 0)]}),
    ("lost", {"sends": [s(1, "a", 0, 0)], "processed": OK}),
    ("skipped", {"sends": [s(1, "a", 0, 0)], "log": [w(1, 0)], "committed_offsets": {"0": 1}}),
    ("pending", {"sends": [s(1, "a", 0, 0)], "log": [w(1, 0)], "committed_offsets": {}}),
    ("unprocessed", {"sends": [s(1, "a", 0, 0)], "log": [w(1, 0)]}),
    ("processed_twice", {"sends": [s(1, "a", 0, 0)], "log": [w(1, 0)], "processed": OK + OK}),
    ("processed_once", {"sends": [s(1, "a", 0, 0)], "log": [w(1, 0)], "processed": OK}),
    ("processed_once", {"sends": [s(1, "a", 0, 0)], "processed": OK, "log_start": {"0": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("fate", "document"), FATES, ids=[fate for fate, _ in FATES])
def test_fates(fate: str, document: Any) -> None:
    found = classify(parse_document({"log": [], "processed": [], **document}))
    assert found.fates == {fate: 1}
    assert found.counts["planned"] == 1


def test_the_answer_lists_everything_and_a_run_a_thousand() -> None:
    document = {"sends": [s(i, "a", 0, i) for i in range(1500)], "log": [], "processed": []}
    assert classes(document["sends"]) == {"lost": list(range(1500))}
    lost = classify(parse_document(document)).classes["lost"]
    assert (lost.count, lost.members) == (1500, list(range(1000)))


def test_ids_that_share_a_position_have_no_order_among_them() -> None:
    for labels in ((0, 1), (1, 0), (7919, 0)):
        document = {
            "sends": [{"id": each, "outcome": "acked", "partition": None, "offset": None} for each in labels],
            "log": [{"partition": 0, "offset": 0, "id": each, "committed": True} for each in reversed(labels)],
            "processed": [],
        }
        assert "reordered" not in answer_document(document)["classes"]  # type: ignore[operator]
