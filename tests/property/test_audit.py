"""What must hold of every audit, over random ledger documents."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from audit_documents import DOCUMENTS
from audit_oracle import classes_of
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaprep.engine.audit.classes import classify
from kafkaprep.engine.audit.document import answer_document, parse_document
from kafkaprep.engine.audit.judge import judge
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome, Promise

Document = dict[str, Any]

few = settings(max_examples=100, deadline=None)


def classes(document: Document) -> dict[str, list[Any]]:
    found = answer_document(document)["classes"]
    assert isinstance(found, dict)
    return found


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_the_definitions_agree(document: Document) -> None:
    assert classes(document) == classes_of(document)


@few
@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_the_order_of_log_rows_changes_nothing(document: Document, chance: random.Random) -> None:
    mixed = copy.deepcopy(document)
    chance.shuffle(mixed["log"])
    assert json.dumps(answer_document(mixed)) == json.dumps(answer_document(document))


@few
@given(DOCUMENTS, st.integers(0, 2**70))
def test_relabelled_ids_change_only_labels(document: Document, shift: int) -> None:
    def label(message: int) -> int:
        return message * 7919 + shift

    other = copy.deepcopy(document)
    for row in (*other["sends"], *other["log"], *other["processed"]):
        row["id"] = label(row["id"])
    if "planned" in other:
        other["planned"] = [label(message) for message in other["planned"]]
    expected = {
        name: members
        if name in ("offset_conflict", "torn_txns", "key_split")
        else [label(member) for member in members]
        for name, members in classes(document).items()
    }
    assert classes(other) == expected


@few
@given(DOCUMENTS)
def test_the_fates_sum_to_the_plan(document: Document) -> None:
    found = classify(parse_document(document))
    planned = document.get("planned", [row["id"] for row in document["sends"]])
    assert sum(found.fates.values()) == found.counts["planned"] == len(set(planned))


@few
@given(DOCUMENTS, st.data())
def test_a_second_processed_row_only_adds_to_its_two_classes(document: Document, data: st.DataObject) -> None:
    if not document["processed"]:
        return
    again = copy.deepcopy(document)
    again["processed"].append(data.draw(st.sampled_from(document["processed"])))
    before, after = classes(document), classes(again)
    for name in before.keys() | after.keys():
        if name in ("processed_twice", "redelivered"):
            assert set(before.get(name, [])) <= set(after[name])
        else:
            assert before.get(name) == after.get(name)


@few
@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_two_producers_never_add_a_loss(document: Document, chance: random.Random) -> None:
    one, two = copy.deepcopy(document), copy.deepcopy(document)
    for row in one["sends"]:
        row["producer"] = "p1"
    for row in two["sends"]:
        row["producer"] = chance.choice(["p1", "p2"])
    assert classes(one).get("lost") == classes(two).get("lost")
    assert set(classes(two).get("reordered", [])) <= set(classes(one).get("reordered", []))


@few
@given(DOCUMENTS, st.sampled_from(["0", "1"]), st.integers(0, 5))
def test_a_shorter_read_never_settles_what_was_open(document: Document, partition: str, read_to: int) -> None:
    short = copy.deepcopy(document)
    read = document.get("final_read", {}).get(partition, {"read_to": 6, "end": 6})
    read_to = min(read_to, read["read_to"])
    short.setdefault("final_read", {})[partition] = {"read_to": read_to, "end": max(read["end"], read_to + 1)}
    short["log"] = [row for row in document["log"] if str(row["partition"]) != partition or row["offset"] < read_to]
    before, after = classes(document), classes(short)
    assert set(before.get("inconclusive", [])) <= set(after.get("inconclusive", []))
    settled = {"lost", "unknown_absent"}
    for name in settled:
        assert not set(before.get("inconclusive", [])) & set(after.get(name, []))


@few
@given(DOCUMENTS, st.sampled_from(["0", "1"]))
def test_kept_on_a_short_read_stays_kept_on_a_full_one(document: Document, partition: str) -> None:
    """What is kept was proven by what was read: a row beyond cannot take it back. Of copies nothing is proven."""
    document = {**document, "final_read": {partition: {"read_to": 3, "end": 6}}, "compacted": False}
    document["log"] = [row for row in document["log"] if str(row["partition"]) != partition or row["offset"] < 3]
    short = _outcomes(document)
    for promise in (Promise.NO_LOG_DUPLICATES, Promise.ORDER_KEPT, Promise.KEYS_TOGETHER):
        assert short[promise] is not Outcome.KEPT
    for message in {row["id"] for row in document["sends"]}:
        row = {"partition": int(partition), "offset": 4, "id": message, "committed": True}
        full = {**document, "log": [*document["log"], row]}
        full["final_read"] = {partition: {"read_to": 6, "end": 6}}
        for promise in (Promise.NO_ACKED_LOSS, Promise.NO_REPORTED_LOSS, Promise.ALL_ARRIVE):
            assert short[promise] is not Outcome.KEPT or _outcomes(full)[promise] is Outcome.KEPT


def _outcomes(document: Document) -> dict[Promise, Outcome]:
    verdict = judge(classify(parse_document(document)), list(Promise), Settings())
    return {result.name: result.outcome for result in verdict.promises}


@few
@given(DOCUMENTS)
def test_the_same_ledgers_give_the_same_bytes(document: Document) -> None:
    first, second = (
        judge(classify(parse_document(copy.deepcopy(document))), list(Promise), Settings()) for _ in range(2)
    )
    assert json.dumps(_shown(first)) == json.dumps(_shown(second))


def _shown(verdict: Any) -> object:
    promises = [result.as_dict() for result in verdict.promises]
    return [str(verdict.outcome), verdict.counts, verdict.fates, promises, verdict.classes, verdict.partial]


@few
@given(DOCUMENTS)
def test_nothing_planned_or_sent_is_never_kept(document: Document) -> None:
    for empty in ({**document, "planned": []}, {**document, "sends": []}):
        assert Outcome.KEPT not in _outcomes(empty).values()
