"""Only what the run wrote, whole, is decoded; nothing makes the decoder raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaprep.engine.traffic.payload import MIN_BYTES, Payload, decode, encode, encoder, identity

NONCE = bytes.fromhex("0123456789abcdef")
nonces = st.binary(min_size=8, max_size=8)
ids = st.integers(0, 2**64 - 1)
producers = st.integers(0, 255)
attempts = st.integers(0, 65535)


@given(nonces, ids, producers, attempts, st.integers(0, 2000))
def test_what_was_encoded_is_decoded(
    nonce: bytes, message_id: int, producer: int, attempt: int, message_bytes: int
) -> None:
    data = encode(nonce, message_id, producer=producer, attempt=attempt, message_bytes=message_bytes)
    assert len(data) == max(MIN_BYTES, message_bytes)
    assert decode(data, nonce) == Payload(message_id, producer, attempt)
    assert identity(data) == (message_id, producer, attempt)


@given(st.binary(max_size=300), nonces)
def test_foreign_bytes_are_unexpected_and_never_raise(data: bytes, nonce: bytes) -> None:
    assert decode(data, nonce) is None


@given(st.binary(max_size=60))
def test_bytes_that_only_begin_like_ours_are_unexpected(rest: bytes) -> None:
    assert decode(b"KPM1" + NONCE + rest + b"\1\0\0\0\0", NONCE) is None


@given(ids, st.data())
def test_any_flipped_bit_is_noticed(message_id: int, data: st.DataObject) -> None:
    whole = encode(NONCE, message_id, producer=1, attempt=2, message_bytes=60)
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(damaged), NONCE) is None


@given(ids, st.integers(0, 99))
def test_a_cut_message_is_unexpected(message_id: int, kept: int) -> None:
    whole = encode(NONCE, message_id, producer=0, attempt=0, message_bytes=100)
    assert decode(whole[:kept], NONCE) is None


@pytest.mark.parametrize("data", [None, b"", b"KPM1", bytes(MIN_BYTES)])
def test_short_and_empty_messages_are_unexpected(data: bytes | None) -> None:
    assert decode(data, NONCE) is None


def test_another_run_is_unexpected() -> None:
    theirs = encode(b"\0" * 8, 1, producer=0, attempt=0, message_bytes=100)
    assert decode(theirs, NONCE) is None


def test_the_fields_stand_where_the_format_says() -> None:
    data = encode(NONCE, 0x0102, producer=3, attempt=0x0405, message_bytes=40)
    assert data[:-4] == b"KPM1" + NONCE + b"\x02\x01" + bytes(6) + b"\x03" + b"\x05\x04" + bytes(13)


def test_a_nonce_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        encoder(b"short", 0, 100)
