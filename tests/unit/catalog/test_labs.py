"""Lab files: what is read, what is refused and where, and that one bad file hides no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaprep import paths
from kafkaprep.catalog.labs import find_lab, load_labs, parse_lab, read_lab
from kafkaprep.errors import ContentError, UsageError
from kafkaprep.model.lab import BrokenLab, Capability, ClusterShape, Kind, Lab, Stage
from kafkaprep.model.settings import Scope
from kafkaprep.model.verdict import Outcome, Promise

GOOD = """\
format_version: 1
title: T
stage: producer
kind: lab
goal: G?
needs: [kill, pause]
cluster: {brokers: 3, partitions: 2}
traffic: {messages: 500}
start: {producer: {acks: 0}}
solution: {producer: {acks: -1}}
knobs:
  - {scope: producer, name: acks, choices: ["0", 1, all]}
script:
  - send: 300
  - pause: leader
  - kill: broker 2
  - send: rest
promises: [no_reported_loss]
predict: P?
hints: [H]
debrief: D
sources: [KIP-679]
"""


def parse(text: str) -> Lab:
    return parse_lab("x", text.encode(), "x.yaml")


def test_acks_zero_loads() -> None:
    lab = find_lab(load_labs(paths.labs()), "acks-zero")
    assert (lab.stage, lab.kind, lab.promises) == (Stage.PRODUCER, Kind.LAB, (Promise.NO_REPORTED_LOSS,))
    assert lab.start[Scope.PRODUCER]["acks"] == "0" and lab.solution[Scope.PRODUCER]["acks"] == "all"
    assert [str(step) for step in lab.script] == [
        *("send 300", "await all_reported", "await consumer_caught_up", "pause leader", "send 100"),
        *("await reported_or_stalled", "kill leader", "await new_leader", "send rest"),
    ]
    assert len(lab.hints) == 3 and all(knob.note for knob in lab.knobs)


def test_every_shipped_lab_loads() -> None:
    assert [str(lab) for lab in load_labs(paths.labs()).values() if isinstance(lab, BrokenLab)] == []


def test_a_lab_in_full() -> None:
    lab = parse(GOOD)
    assert lab.needs == {Capability.KILL, Capability.PAUSE}
    assert lab.cluster == ClusterShape(brokers=3, partitions=2, replication=3)
    assert lab.start[Scope.PRODUCER] == {"acks": "0"} and lab.solution[Scope.PRODUCER] == {"acks": "all"}
    assert lab.knobs[0].choices == ("0", "1", "all")
    assert (lab.script[1].place.line, lab.script[1].place.column) == (15, 5)


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "says"),
    [
        ("title: T", "tilte: T", 2, 1, "Did you mean title?"),
        ("title: T\n", "title: T\nwhy: {broken: 'gone: {mising}'}\n", 3, 15, "Did you mean missing?"),
        ("title: T\n", "title: T\nwhy: {void: 'no'}\n", 3, 7, "void"),
        ("title: T\n", "", 1, 1, "lacks the key title"),
        ("title: T", "title: 5", 2, 8, "must be text, not the number 5"),
        ("title: T", "title:", 2, 7, "is empty"),
        ("title: T", "title: [T]", 2, 8, "must be one value"),
        ("format_version: 1", "format_version: 2", 1, 17, "format_version must be 1 to 1"),
        ("stage: producer", "stage: procuder", 3, 8, "Did you mean producer?"),
        ("kind: lab", "kind: exibit", 4, 7, "Did you mean exhibit?"),
        ("[kill, pause]", "[kill, kill]", 6, 15, "twice"),
        ("[kill, pause]", "[kill, paws]", 6, 15, "Did you mean pause?"),
        ("[kill, pause]", "[kill]", 15, 5, "needs pause"),
        ("brokers: 3", "brokers: 4", 7, 20, "brokers must be 1 to 3"),
        ("partitions: 2", "partitions: 25", 7, 35, "partitions must be 1 to 24"),
        ("partitions: 2", "partitions: 0123", 7, 35, "whole number, not the text 0123"),
        ("partitions: 2", "partitions: true", 7, 35, "whole number, not the truth value true"),
        ("brokers: 3, partitions: 2", "brokers: 1, replication: 3", 7, 36, "replication must be 1 to 1"),
        ("messages: 500", "messages: 0", 8, 21, "1 to 1000000"),
        ("messages: 500", "messages: 1000001", 8, 21, "1 to 1000000"),
        ("messages: 500", "messages: 500, keys: 0", 8, 32, "keys must be"),
        ("messages: 500", "messages: 500, message_bytes: 63", 8, 41, "64 to 10000"),
        ("messages: 500", "messages: 500, message_bytes: 10001", 8, 41, "64 to 10000"),
        ("messages: 500", "messages: 200", 14, 5, "sends 300 messages of 200"),
        ("  - send: rest\n", "", 14, 5, "sends 300 messages of 500"),
        ("  - send: rest\n", "  - send: rest\n  - send: rest\n", 18, 5, "stands twice"),
        ("{acks: 0}", "{ack: 0}", 9, 20, "Did you mean acks?"),
        ("{acks: 0}", "{acks: 3}", 9, 26, "Allowed: 0, 1 or all."),
        ("{acks: 0}", "{acks: [0]}", 9, 26, "must be one value"),
        ("{acks: 0}", "{acks: 0, request.required.acks: 1}", 9, 29, "another name of acks"),
        ("{acks: 0}", "{bootstrap.servers: evil}", 9, 20, "cannot be set here"),
        ("{acks: 0}", "{plugin.library.paths: ./x.so}", 9, 20, "cannot be set here"),
        ("start: {producer", "start: {prodcer", 9, 9, "Did you mean producer?"),
        ("{acks: -1}", "{acks: 0}", 10, 11, "changes nothing"),
        ("solution: {producer: {acks: -1}}\n", "", 1, 1, "lacks the key solution"),
        ('["0", 1, all]', '["0", 5]', 12, 50, "Allowed: 0, 1 or all."),
        ('["0", 1, all]', "[all, -1]", 12, 50, "twice"),
        ("name: acks", "name: akcs", 12, 29, "Did you mean acks?"),
        ("pause: leader", "paus: leader", 15, 5, "Did you mean pause?"),
        ("pause: leader", "pause: leadre", 15, 12, "Did you mean leader?"),
        ("pause: leader", "pause: {a: b}", 15, 12, "must be one value"),
        ("pause: leader", "pause: leader\n    kill: leader", 15, 5, "one `verb: argument`"),
        ("broker 2", "broker 4", 16, 11, "There is no broker 4"),
        ("broker 2", "broker <id>", 16, 11, "cannot take broker <id>"),
        ("send: 300", "send: -1", 14, 11, "cannot take -1"),
        ("send: 300", "send: true", 14, 11, "cannot take true"),
        ("[no_reported_loss]", "[]", 18, 11, "at least one promise"),
        ("[no_reported_loss]", "[no_reported_los]", 18, 12, "Did you mean no_reported_loss?"),
        ("hints: [H]", "hints: []", 20, 8, "at least 1 item"),
        ("hints: [H]", "hints: [a, b, c, d, e, f]", 20, 8, "at most 5"),
        ("sources: [KIP-679]", "sources: []", 22, 10, "at least 1 item"),
        ("predict: P?", "predict: P?\nexhibit: []", 20, 10, "has no key exhibit"),
    ],
)
def test_refused_at_its_place(old: str, new: str, line: int, column: int, says: str) -> None:
    assert GOOD.count(old) == 1, "the change must be unambiguous"
    with pytest.raises(ContentError) as caught:
        parse(GOOD.replace(old, new))
    assert says in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column), str(caught.value)


def test_an_exhibit_declares_its_outcomes() -> None:
    text = GOOD.replace("kind: lab", "kind: exhibit").replace("solution: {producer: {acks: -1}}\n", "")
    with pytest.raises(ContentError, match="lacks the key exhibit"):
        parse(text)
    lab = parse(text + 'exhibit:\n  - {producer: {acks: "1"}, outcome: broken}\n  - {outcome: kept}\n')
    assert [case.outcome for case in lab.exhibit] == [Outcome.BROKEN, Outcome.KEPT]
    assert lab.exhibit[0].settings[Scope.PRODUCER] == {"acks": "1"}
    with pytest.raises(ContentError, match="kept or broken"):
        parse(text + "exhibit: [{outcome: inconclusive}]\n")


def test_a_broken_lab_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bomb.yaml").write_text("a: &a [1]\nb: [*a, *a]\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * 100 * 1024)
    (tmp_path / "typo.yaml").write_text(GOOD.replace("title", "tilte"))
    (tmp_path / "README.md").write_text("not a lab")
    index = load_labs(tmp_path)
    assert [lab_id for lab_id, lab in index.items() if isinstance(lab, Lab)] == ["good"]
    assert sorted(index) == ["bomb", "good", "large", "typo"]
    broken = index["typo"]
    assert isinstance(broken, BrokenLab) and (broken.line, broken.column) == (2, 1)
    assert str(broken).endswith("typo.yaml:2:1: The lab has no key tilte. Did you mean title?")
    with pytest.raises(ContentError) as caught:
        find_lab(index, "typo")
    assert str(caught.value) == str(broken)
    with pytest.raises(UsageError, match=r"Did you mean good\?"):
        find_lab(index, "goood")


def test_names_and_links(tmp_path: Path) -> None:
    outside = tmp_path / "secret.yaml"
    outside.write_text(GOOD)
    folder = tmp_path / "labs"
    folder.mkdir()
    for name in ("Upper.yaml", "-dash.yaml", "con.yaml", "lpt1.yaml", "short.yml", "a b.yaml", "e\x1b[31m.yaml"):
        (folder / name).write_text(GOOD)
    (folder / f"{'x' * 42}.yaml").write_text(GOOD)
    (folder / f"{'y' * 41}.yaml").write_text(GOOD)
    (folder / "link.yaml").symlink_to(outside)
    (folder / "relative.yaml").symlink_to("../secret.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "dangling.yaml").symlink_to("nothing.yaml")
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "inner.yaml").symlink_to(f"{'y' * 41}.yaml")
    index = load_labs(folder)
    assert sorted(lab_id for lab_id, lab in index.items() if isinstance(lab, Lab)) == ["inner", "y" * 41]
    assert len(index) == 16
    assert all("\x1b" not in str(lab) for lab in index.values())
    assert "leaves the folder" in str(index["link"]) and "leaves the folder" in str(index["relative"])
    assert "Windows device" in str(index["con"])


def test_a_missing_folder_is_a_content_error(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="cannot be read"):
        load_labs(tmp_path / "none")
    with pytest.raises(ContentError, match="cannot be read"):
        read_lab(tmp_path / "none.yaml")


def lab_or_content_error(data: bytes) -> None:
    try:
        assert isinstance(parse_lab("x", data, "x.yaml"), Lab)
    except ContentError as error:
        assert error.line >= 1 and error.column >= 1
        message = str(error)
        assert "\x1b" not in message and len(message) < 1000
        message.encode()


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_lab_or_a_content_error(data: bytes) -> None:
    lab_or_content_error(data)


@settings(deadline=None)
@given(st.text(alphabet="{}[]:-?&*!%|>'\"#,~<\\ \t\nabt019.Uxu\ufeff\x85", max_size=200))
def test_any_yaml_punctuation_gives_a_lab_or_a_content_error(text: str) -> None:
    lab_or_content_error(text.encode())


@settings(deadline=None)
@given(
    st.integers(0, len(GOOD)), st.integers(0, 30), st.binary(max_size=12) | st.sampled_from([b"- ", b": ", b"{", b"["])
)
def test_any_damage_gives_a_lab_or_a_content_error(at: int, length: int, instead: bytes) -> None:
    data = GOOD.encode()
    lab_or_content_error(data[:at] + instead + data[at + length :])


CRASHING = """\
script:
  - send: 300
  - crash: consumer before_work 120
  - start: consumer
  - send: rest
"""


def crashing(old: str, new: str) -> Lab:
    head, tail = GOOD.split("script:")[0], GOOD[GOOD.index("promises:") :]
    assert old in CRASHING
    return parse(head + CRASHING.replace(old, new) + tail)


def test_a_script_may_crash_its_consumer_and_start_the_next() -> None:
    assert [str(step) for step in crashing("120", "300").script][1:3] == [
        "crash consumer before_work 300",
        "start consumer",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("120", "301", 15, "Only 300 messages are sent before this crash at message 301."),
        ("  - start: consumer\n", "  - crash: consumer after_work 1\n", 16, "There is no living consumer here."),
        ("  - start: consumer\n", "  - start: consumer\n  - start: consumer\n", 17, "No consumer has died here."),
        ("crash: consumer before_work 120", "start: consumer", 15, "No consumer has died here."),
        ("  - send: rest", "  - await: consumer_caught_up\n  - send: rest", 17, "nobody can count"),
        ("consumer before_work 120", "consumer in_work 120", 15, "crash cannot take"),
    ],
)
def test_what_a_script_may_not_do_to_its_consumer(old: str, new: str, line: int, says: str) -> None:
    with pytest.raises(ContentError) as caught:
        crashing(old, new)
    assert caught.value.line == line
    assert says in str(caught.value)
