"""However a stream is cut, its frames are the same and no byte is lost, doubled or moved."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kafkaprep.engine.proxy.frames import API_NAMES, Splitter, request_head, response_head

_NAMES = st.one_of(st.none(), st.binary(max_size=20))
_BODIES = st.binary(max_size=60)
_PRODUCE_STARTS = st.sampled_from([b"", b"\xff\xff", b"\x00\x00", b"\x01\x03\x01x\x03tx", b"\x00\x04app"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    name = draw(_NAMES)
    key = draw(st.sampled_from(sorted(API_NAMES)))
    head = struct.pack(">hhi", key, draw(st.integers(0, 14)), draw(st.integers(-(2**31), 2**31 - 1)))
    named = struct.pack(">h", -1) if name is None else struct.pack(">h", len(name)) + name
    body = draw(_PRODUCE_STARTS) + draw(_BODIES)
    return struct.pack(">i", len(head + named + body)) + head + named + body


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    body = draw(_BODIES)
    return struct.pack(">ii", len(body) + 4, draw(st.integers(-(2**31), 2**31 - 1))) + body


def parts(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


class Reader:
    """Shows chunks to a splitter as the proxy does: what it kept comes again before the next bytes."""

    def __init__(self, head: Callable[[bytearray, int, int], Any]) -> None:
        self.splitter: Splitter[Any] = Splitter(head)
        self.frames: list[tuple[Any, bytes]] = []
        self.forwarded = b""
        self.begun = b""

    def show(self, chunk: bytes) -> None:
        buffer = bytearray(self.begun + chunk)
        pieces = self.splitter.split(buffer, len(buffer))
        at = 0
        for head, start, stop in pieces:
            assert start == at and stop > start
            at = stop
            piece = bytes(buffer[start:stop])
            self.forwarded += piece
            if head is not None:
                self.frames.append((head, piece))
            else:
                begun, data = self.frames[-1]
                self.frames[-1] = (begun, data + piece)
        assert self.splitter.malformed or at + self.splitter.kept == len(buffer)
        self.begun = bytes(buffer[len(buffer) - self.splitter.kept :])


def read(head: Callable[[bytearray, int, int], Any], chunks: list[bytes]) -> Reader:
    reader = Reader(head)
    for chunk in chunks:
        reader.show(chunk)
    return reader


_CUTS = st.lists(st.integers(0, 10_000), max_size=30)
_STREAMS = st.one_of(
    st.tuples(st.just(request_head), st.lists(requests(), max_size=8)),
    st.tuples(st.just(response_head), st.lists(responses(), max_size=8)),
)


@given(_STREAMS, _CUTS)
def test_any_split_gives_the_same_frames(stream: tuple[Any, list[bytes]], cuts: list[int]) -> None:
    head, frames = stream
    whole = b"".join(frames)
    found = read(head, parts(whole, cuts))
    assert [data for _, data in found.frames] == frames
    assert found.forwarded == whole
    assert found.frames == read(head, [whole]).frames
    assert (found.begun, found.splitter.within, found.splitter.malformed) == (b"", False, "")


@given(_STREAMS, _CUTS, st.integers(0, 10_000))
def test_any_truncation_keeps_what_came_before(stream: tuple[Any, list[bytes]], cuts: list[int], end: int) -> None:
    head, frames = stream
    cut = b"".join(frames)[:end]
    found = read(head, parts(cut, cuts))
    assert found.forwarded + found.begun == cut
    complete = [data for (_, data), frame in zip(found.frames, frames, strict=False) if data == frame]
    assert complete == frames[: len(complete)]
    assert len(found.frames) - len(complete) == int(found.splitter.within)


@given(st.sampled_from([request_head, response_head]), st.binary(max_size=200), _CUTS)
def test_garbage_is_split_alike_however_it_is_cut(head: Any, garbage: bytes, cuts: list[int]) -> None:
    found = read(head, parts(garbage, cuts))
    at_once = read(head, [garbage])
    assert (found.frames, found.splitter.malformed) == (at_once.frames, at_once.splitter.malformed)
    assert garbage.startswith(found.forwarded)
