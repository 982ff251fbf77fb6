"""How to log in: a .properties file whose secrets are passed on, never shown.

A strict part of Java's format: one `name=value` a line, comments, the usual escapes, UTF-8. Only settings of the
connection may stand in it: how the clients of a lab behave is the lab's. No error repeats what the file holds.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from kafkaprep.errors import ContentError

LARGEST_BYTES = 64 * 1024
REDACTED = "[redacted]"
BOOTSTRAP = "bootstrap.servers"

_SECRET = re.compile(r"password|secret|token|key|jaas|sasl", re.IGNORECASE)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "\\": "\\", ":": ":", "=": "=", "#": "#", "!": "!", " ": " "}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.?)", re.DOTALL)
_LINE = re.compile(r"(?P<name>[^\s:=\\]+)[ \t]*[:=][ \t]*(?P<value>.*)", re.DOTALL)

# Names that librdkafka knows. Left out: whatever loads native code (ssl.providers, ssl.engine.*) or runs a command
# (sasl.kerberos.kinit.cmd).
ALLOWED = frozenset(
    {
        BOOTSTRAP,
        "broker.address.family",
        "client.dns.lookup",
        "connections.max.idle.ms",
        "enable.ssl.certificate.verification",
        "https.ca.location",
        "https.ca.pem",
        "sasl.kerberos.keytab",
        "sasl.kerberos.principal",
        "sasl.kerberos.service.name",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.cipher.suites",
        "ssl.crl.location",
        "ssl.curves.list",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.sigalgs.list",
    }
)
# What only the Java client reads, and what to write instead.
_JAVA_ONLY = {
    "sasl.jaas.config": "Write sasl.username=… and sasl.password=… instead.",
    "ssl.truststore.location": "Write ssl.ca.location=… with a PEM file instead.",
    "ssl.truststore.password": "A PEM file for ssl.ca.location needs none.",
    "ssl.truststore.type": "Write ssl.ca.location=… with a PEM file instead.",
    "ssl.keystore.type": "ssl.keystore.location takes a PKCS#12 file.",
    "sasl.client.callback.handler.class": "It would load code.",
    "sasl.login.callback.handler.class": "It would load code.",
}


def read_client_properties(path: Path) -> dict[str, str]:
    """The properties in the file at `path`. Raises ContentError with the place, never with a value."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe that nobody writes to would never open
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ContentError(path, 1, 1, "This is no regular file.", "Each client reads it again: use a file.")
            data = os.read(descriptor, LARGEST_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ContentError(
            path, 1, 1, f"The file cannot be read: {error.strerror}.", "Check --client-config."
        ) from None
    return parse_client_properties(data, path)


def parse_client_properties(data: bytes, path: Path | str) -> dict[str, str]:
    """The properties that `data` holds; `path` is what errors call it. Raises ContentError."""
    if len(data) > LARGEST_BYTES:
        raise ContentError(path, 1, 1, f"The file is larger than {LARGEST_BYTES // 1024} KiB.", "Keep only the login.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ContentError(
            path, line, 1, "This is not UTF-8.", "Write it as \\uXXXX, or save the file as UTF-8."
        ) from None
    found: dict[str, str] = {}
    lines: list[str] = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    for number, whole in enumerate(lines, start=1):
        entry = whole.lstrip(" \t\f")
        if entry and entry[0] not in "#!":
            name, value = _entry(entry, path, number)
            if name in found:
                raise ContentError(path, number, 1, "This setting stands in the file twice.", "Keep one of the two.")
            found[name] = value
    return found


def _entry(entry: str, path: Path | str, number: int) -> tuple[str, str]:
    match = _LINE.fullmatch(entry)
    if match is None:
        raise ContentError(path, number, 1, "This line is no `name=value`.", "A name holds no escapes or spaces.")
    name = match["name"]
    if name in _JAVA_ONLY:
        raise ContentError(path, number, 1, f"{name} is for the Java client alone.", _JAVA_ONLY[name])
    if name not in ALLOWED:
        near = difflib.get_close_matches(name[:100], ALLOWED, n=1, cutoff=0.8)
        hint = f"Did you mean {near[0]}?" if near else "Only settings of the connection may stand here."
        raise ContentError(path, number, 1, "There is no such setting of the connection.", hint)
    if match["value"] != match["value"].rstrip():
        raise ContentError(path, number, 1, f"{name} ends in white space.", "Remove it, or write \\u0020.")
    value = _ESCAPE.sub(lambda found: _unescaped(found[1], path, number), match["value"])
    if not value:
        raise ContentError(path, number, 1, f"{name} is empty.", "Write a value, or remove the line.")
    if "\0" in value or not (value.isprintable() or name.endswith(".pem")):
        raise ContentError(path, number, 1, f"{name} holds a control character.", "Remove it.")
    return name, value


def _unescaped(escaped: str, path: Path | str, number: int) -> str:
    if escaped in _ESCAPES:
        return _ESCAPES[escaped]
    if len(escaped) == 5:
        character = chr(int(escaped[1:], 16))
        if not 0xD800 <= ord(character) <= 0xDFFF:
            return character
    if not escaped:
        raise ContentError(path, number, 1, "The line ends in a backslash.", "Write the value on one line.")
    raise ContentError(path, number, 1, "A backslash stands before something else.", "For a backslash write \\\\.")


def is_secret(name: str) -> bool:
    """Whether the value of the setting `name` may not be shown."""
    return _SECRET.search(name) is not None


def redacted(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties as they may be shown and saved."""
    return {name: REDACTED if is_secret(name) else value for name, value in properties.items()}


def without_secrets(text: str, properties: Mapping[str, str]) -> str:
    """`text`, which a library wrote, with every secret of `properties` that it repeats taken out."""
    for secret in _longest_first(value for name, value in properties.items() if is_secret(name)):
        text = text.replace(secret, REDACTED)
    return text


def _longest_first(values: Iterable[str]) -> list[str]:
    return sorted(set(values), key=len, reverse=True)
