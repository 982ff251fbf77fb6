"""A malformed document is refused with the row and the field; a lenient one is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from histories import h, s, w

from kafkaprep.engine.audit.document import answer_document, answer_text, parse_document
from kafkaprep.errors import UsageError

GOOD: dict[str, Any] = {"name": "g", "sends": [s(1, "a", 0, 0)], "log": [w(1, 0)], "processed": [h(1, 0)]}


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"sends": None}, "sends must be a list, not null."),
    ({"log": {}}, "log must be a list"),
    ({"processed": [3]}, "processed[0] must be an object, not 3."),
    ({"sends": [without(s(1, "a"), "id")]}, "sends[0].id is missing."),
    ({"sends": [s(1, "a"), {**s(1, "a"), "id": True}]}, "sends[1].id must be a whole number from 0, not true."),
    ({"sends": [{**s(1, "a"), "id": "1"}]}, 'sends[0].id must be a whole number from 0, not "1".'),
    ({"sends": [{**s(1, "a"), "id": 1.0}]}, "sends[0].id must be a whole number from 0, not 1.0."),
    ({"sends": [{**s(1, "a"), "id": -1}]}, "sends[0].id must be a whole number from 0, not -1."),
    ({"sends": [{**s(1, "a"), "outcome": "ok"}]}, 'sends[0].outcome must be acked, failed or unknown, not "ok".'),
    ({"sends": [{**s(1, "a"), "outcome": ["acked"]}]}, "sends[0].outcome must be"),
    ({"sends": [without(s(1, "a"), "outcome")]}, "sends[0].outcome must be acked, failed or unknown, not null."),
    ({"sends": [s(1, "a", -1, 0)]}, "sends[0].partition must be a whole number from 0, not -1."),
    ({"sends": [s(1, "a", 99999, 0)]}, "sends[0].partition must be at most 32767, not 99999."),
    ({"sends": [{**s(1, "a", 0), "offset": False}]}, "sends[0].offset must be a whole number, not false."),
    ({"sends": [s(1, "a", 0, 2**63)]}, "sends[0].offset must be below 2^63"),
    ({"sends": [s(1, "a", reported="yes")]}, 'sends[0].reported must be ok or error, not "yes".'),
    ({"sends": [s(1, "a", key=["k"])]}, 'sends[0].key must be text, not ["k"].'),
    ({"sends": [s(1, "a", txn=1.5)]}, "sends[0].txn must be text, not 1.5."),
    ({"sends": [s(1, "a", producer=True)]}, "sends[0].producer must be text, not true."),
    ({"log": [w(1, -1)]}, "log[0].offset must be a whole number from 0, not -1."),
    ({"log": [w(1, 0, "+", None)]}, "log[0].partition must be a whole number from 0, not null."),  # type: ignore[arg-type]
    ({"log": [{**w(1, 0), "committed": "true"}]}, 'log[0].committed must be true, false or null, not "true".'),
    ({"log": [{**w(1, 0), "committed": 1}]}, "log[0].committed must be true, false or null, not 1."),
    ({"log": [without(w(1, 0), "committed")]}, "log[0].committed is missing"),
    ({"processed": [without(h(1, 0), "offset")]}, "processed[0].offset is missing."),
    ({"planned": 3}, "planned must be a list, not 3."),
    ({"planned": [0, None]}, "planned[1] must be a whole number from 0, not null."),
    ({"committed_offsets": [1]}, "committed_offsets must be an object"),
    ({"committed_offsets": {"0": "1"}}, 'committed_offsets[0] must be a whole number, not "1".'),
    ({"committed_offsets": {"-1": 1}}, "committed_offsets: '-1' is not a partition"),
    ({"log_start": {"zero": 1}}, "log_start: 'zero' is not a partition"),
    ({"log_start": {"0": -1}}, "log_start[0] must be a whole number from 0, not -1."),
    ({"final_read": {"0": 5}}, "final_read[0] must be an object, not 5."),
    ({"final_read": {"0": {"end": 5}}}, "final_read[0].read_to is missing."),
    ({"final_read": {"0": {"read_to": 1, "end": None}}}, "final_read[0].end must be a whole number from 0, not null."),
    ({"last_stable": {"0": "x"}}, 'last_stable[0] must be a whole number from 0, not "x".'),
    ({"compacted": "yes"}, 'compacted must be true or false, not "yes".'),
    ({"isolation": "snapshot"}, "isolation must be read_committed or read_uncommitted"),
    ({"name": 5}, "name must be text, not 5."),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_malformed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_document({**GOOD, **change})
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("name", ["sends", "log", "processed"])
def test_the_three_ledgers_are_required(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is missing"):
        parse_document(without(GOOD, name))


@pytest.mark.parametrize("document", [None, 1, "x", [GOOD]])
def test_not_an_object(document: object) -> None:
    with pytest.raises(UsageError, match="the document must be an object"):
        parse_document(document)


def test_optional_fields_may_be_null_and_others_are_ignored() -> None:
    names = ("planned", "committed_offsets", "log_start", "final_read", "compacted", "isolation", "last_stable")
    document = {**GOOD, **dict.fromkeys(names), "expect": 3, "why": [], "comment": {}}
    assert answer_document(document) == {"name": "g", "classes": {}}
    sends = [{"id": 1, "outcome": "unknown"}]
    assert answer_document({"sends": sends, "log": [], "processed": []}) == {
        "name": None,
        "classes": {"unknown_absent": [1]},
    }


def test_a_null_or_negative_commit_is_none() -> None:
    for offset in (None, -1001):
        found = answer_document({**GOOD, "processed": [], "committed_offsets": {"0": offset}})
        assert found["classes"] == {"unprocessed": [1], "pending": [1]}


def test_last_stable_names_a_partition() -> None:
    document = {**GOOD, "sends": [s(1, "u")], "log": [], "processed": [], "last_stable": {"3": 0}}
    assert answer_document(document)["classes"] == {"unknown_absent": [1]}
    document["log_start"] = {"3": 1}
    assert answer_document(document)["classes"] == {"inconclusive": [1]}


def test_json_lines() -> None:
    text = json.dumps(GOOD) + "\r\n\n" + json.dumps({**GOOD, "name": "second", "log": []}) + "\n"
    assert answer_text(text, json_lines=True) == [
        {"name": "g", "classes": {}},
        {"name": "second", "classes": {"lost": [1], "phantom": [1]}},
    ]
    assert answer_text(json.dumps(GOOD, indent=1), json_lines=False) == [{"name": "g", "classes": {}}]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"sends": ' + "9" * 5000 + "}", "\ufeff{"])
def test_not_json(text: str) -> None:
    with pytest.raises(UsageError, match="This is not JSON"):
        answer_text(text, json_lines=False)


def test_an_error_in_a_line_names_the_line() -> None:
    text = json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "sends": [s(1, "a"), {}]})
    with pytest.raises(UsageError, match=r"^line 3: sends\[1\]\.id is missing\."):
        answer_text(text, json_lines=True)
