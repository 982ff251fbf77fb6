"""What a message of a run looks like: recognised by its nonce and checksum.

    magic "KPM1" (4) · nonce (8) · id u64 · producer u8 · attempt u16 · zeros · CRC32 of everything before it (4)

Numbers are little-endian. The zeros fill the message up to the size the lab asks for.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

MAGIC = b"KPM1"
NONCE_BYTES = 8
MAX_ATTEMPT = 0xFFFF

_HEAD = struct.Struct("<12sQBH")  # magic and nonce, id, producer, attempt
_IDENTITY = struct.Struct("<QBH")
_IDENTITY_AT = len(MAGIC) + NONCE_BYTES
_CRC = struct.Struct("<I")
MIN_BYTES = _HEAD.size + _CRC.size


class Payload(NamedTuple):
    id: int
    producer: int
    attempt: int


def encoder(nonce: bytes, producer: int, message_bytes: int) -> Callable[[int, int], bytes]:
    """A function of (id, attempt) for one producer. A size below MIN_BYTES gives messages of MIN_BYTES."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    recognised = MAGIC + nonce
    zeros = bytes(max(0, message_bytes - MIN_BYTES))
    head, seal, crc32 = _HEAD.pack, _CRC.pack, zlib.crc32

    def encode_one(message_id: int, attempt: int) -> bytes:
        body = head(recognised, message_id, producer, attempt) + zeros
        return body + seal(crc32(body))

    return encode_one


def encode(nonce: bytes, message_id: int, *, producer: int, attempt: int, message_bytes: int) -> bytes:
    return encoder(nonce, producer, message_bytes)(message_id, attempt)


def decode(data: bytes | None, nonce: bytes) -> Payload | None:
    """None for whatever this run did not write, or what was damaged on its way."""
    if data is None or len(data) < MIN_BYTES or not data.startswith(MAGIC + nonce):
        return None
    body_bytes = len(data) - _CRC.size
    if zlib.crc32(memoryview(data)[:body_bytes]) != _CRC.unpack_from(data, body_bytes)[0]:
        return None
    return Payload._make(_IDENTITY.unpack_from(data, _IDENTITY_AT))


def identity(own_message: bytes | str | None) -> tuple[int, int, int]:
    """(id, producer, attempt) of a message that is known to be ours and whole: nothing is checked."""
    return _IDENTITY.unpack_from(own_message, _IDENTITY_AT)  # type: ignore[arg-type]
