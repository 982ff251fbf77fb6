"""Heads are read right in every version, and what is no frame is noticed."""

from __future__ import annotations

import struct

import pytest
from peers import produce, request, response

from kafkaprep.engine.proxy.frames import (
    API_KEYS,
    API_NAMES,
    MAX_FRAME_BYTES,
    MalformedFrame,
    RequestHead,
    ResponseHead,
    Splitter,
    request_head,
    response_head,
)


def head(frame: bytes) -> RequestHead | None:
    return request_head(bytearray(frame), 0, len(frame))


def test_a_request_head() -> None:
    frame = request(7, b"body", api="OffsetCommit", client="consumer-1", version=8)
    assert head(frame) == RequestHead(len(frame), 8, 8, 7, b"consumer-1", True)


@pytest.mark.parametrize(("client", "read"), [(None, None), ("", b""), ("é", "é".encode())])
def test_client_ids(client: str | None, read: bytes | None) -> None:
    found = head(request(1, client=client))
    assert found is not None and found.client == read


@pytest.mark.parametrize("version", [0, 2, 3, 8, 9, 12, 13])
@pytest.mark.parametrize("acks", [0, 1, -1])
def test_only_acks_zero_has_no_answer(version: int, acks: int) -> None:
    found = head(produce(1, b"records", acks=acks, version=version))
    assert found is not None and found.answered == (acks != 0)


@pytest.mark.parametrize(
    ("version", "start"),
    [
        (3, b"\x00\x02tx"),
        (9, b"\x00\x03tx"),
        (9, b"\x01\x05\x02ab\x00"),  # one tagged field of two bytes
        (9, b"\x02\x05\x00\x86\x01\x01z\x03tx"),  # two, one of them with a large tag
        (9, b"\x00\xac\x02" + b"t" * 299),
    ],
)
def test_acks_behind_transactions_and_tags(version: int, start: bytes) -> None:
    for acks, answered in ((0, False), (-1, True)):
        found = head(request(1, start + struct.pack(">h", acks), api="Produce", version=version))
        assert found is not None and found.answered is answered


def test_a_head_is_read_whole_or_not_at_all() -> None:
    frame = produce(1, b"records", acks=0, client="someone")
    whole = bytearray(frame)
    needed = next(end for end in range(len(frame)) if request_head(whole, 0, end) is not None)
    assert needed == len(frame) - len(b"records")
    assert all(request_head(whole, 0, end) == head(frame) for end in range(needed, len(frame)))


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\xff\xff\xff\xff\x0f", b"\xff" * 9])
def test_a_produce_without_acks_counts_as_answered(body: bytes) -> None:
    found = head(request(1, body, api="Produce", version=9))
    assert found is not None and found.answered


@pytest.mark.parametrize("named", [-2, 500])
def test_a_client_id_that_leaves_its_frame_is_none(named: int) -> None:
    frame = bytearray(request(1, b"x" * 20, client="app"))
    struct.pack_into(">h", frame, 12, named)
    found = request_head(frame, 0, len(frame))
    assert found is not None and found.client is None


def test_a_header_without_client_id() -> None:
    frame = struct.pack(">ihhi", 8, 18, 0, 3)
    assert head(frame) == RequestHead(12, 18, 0, 3, None, True)
    assert head(frame[:11]) is None


@pytest.mark.parametrize("length", [-1, -(2**31), 0, 7, MAX_FRAME_BYTES + 1, 2**31 - 1])
def test_absurd_requests(length: int) -> None:
    with pytest.raises(MalformedFrame, match=str(length)):
        head(struct.pack(">i", length))


@pytest.mark.parametrize("length", [-1, 0, 3, MAX_FRAME_BYTES + 1])
def test_absurd_responses(length: int) -> None:
    for data in (struct.pack(">i", length), struct.pack(">ii", length, 1)):
        with pytest.raises(MalformedFrame):
            response_head(bytearray(data), 0, len(data))


def test_a_response_head() -> None:
    frame = response(9, b"12345")
    assert response_head(bytearray(frame), 0, len(frame)) == ResponseHead(13, 9)
    assert response_head(bytearray(frame), 0, 7) is None


@pytest.mark.parametrize("foreign", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_other_protocols_are_malformed_after_what_was_sound(foreign: bytes) -> None:
    splitter = Splitter(request_head)
    sound = request(1)
    buffer = bytearray(sound + foreign)
    pieces = splitter.split(buffer, len(buffer))
    assert [(start, stop) for _, start, stop in pieces] == [(0, len(sound))]
    assert splitter.malformed and splitter.kept == 0
    assert splitter.split(buffer, len(buffer)) == []


def test_names_and_keys() -> None:
    assert (API_NAMES[0], API_NAMES[26], API_KEYS["ConsumerGroupHeartbeat"]) == ("Produce", "EndTxn", 68)
    assert len(API_KEYS) == len(API_NAMES)
