"""YAML that can only say what a careful reader would see in it.

No aliases, anchors, tags, merge keys, directives or second documents; no silent conversions beyond true, false,
null and plain decimal numbers; no key twice; bounded in bytes, nodes, depth and length of one value. Nodes are
built straight from the parser's events, each counted before it is kept, so nothing grows before it is refused.
Every node remembers its place, and every failure is a ContentError with that place.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml

from kafkaprep.errors import ContentError
from kafkaprep.model.lab import Place


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may hold."""

    file_bytes: int = 64 * 1024
    nodes: int = 2_000
    depth: int = 20
    value_bytes: int = 8 * 1024


LEARNER = Limits()  # files that a learner edits: labs
SHIPPED = Limits(file_bytes=512 * 1024, nodes=20_000)  # files that come with the program


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One value. `text` is how it was written, `value` what it means."""

    value: str | int | float | bool | None
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class ListNode:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class MapNode:
    """Keys in the order of the file; `key_places` tells where each key stands."""

    entries: Mapping[str, Node]
    key_places: Mapping[str, Place]
    place: Place


Node = ScalarNode | ListNode | MapNode


def read(path: Path, limits: Limits = LEARNER) -> Node:
    """The one document in the file at `path`. Raises ContentError."""
    return parse(_read_bytes(path, limits), str(path), limits)


def parse(data: bytes, file: str, limits: Limits = LEARNER) -> Node:
    """The one document in `data`; `file` is what errors call it. Raises ContentError."""
    if len(data) > limits.file_bytes:
        raise _too_large(file, limits)
    text = _decoded(data, file)
    try:
        return _Builder(file, limits).build(text)
    except yaml.reader.ReaderError as error:
        line, column = _position(text[: error.position])
        raise ContentError(
            file,
            line,
            column,
            "A character that YAML does not allow.",
            "Remove it, or write it as an escape.",
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ContentError(
            file, line, column, f"Not YAML: {error.problem or 'it cannot be parsed'}.", _YAML_HELP
        ) from error
    except (yaml.YAMLError, RecursionError, UnicodeError, ValueError, ArithmeticError, IndexError) as error:
        raise ContentError(file, 1, 1, "Not YAML that this program can read.", _YAML_HELP) from error


_YAML_HELP = "Check the indentation, and quote text that holds ': ', '#' or a bracket."


def _read_bytes(path: Path, limits: Limits) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ContentError(path, 1, 1, "Not a regular file.", "Put the text itself into a plain file.")
            data = file.read(limits.file_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is not allowed"
        raise ContentError(
            path, 1, 1, f"The file cannot be read: {reason}.", "Check its name and permissions."
        ) from error
    if len(data) > limits.file_bytes:
        raise _too_large(str(path), limits)
    return data


def _too_large(file: str, limits: Limits) -> ContentError:
    return ContentError(
        file,
        1,
        1,
        f"The file is larger than {limits.file_bytes // 1024} KiB.",
        "Shorten it, or split it in two.",
    )


def _decoded(data: bytes, file: str) -> str:
    nul = data.find(b"\0")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8"))
        raise ContentError(file, line, column, "A byte that is not UTF-8.", "Save the file as UTF-8.") from error
    if nul >= 0:
        line, column = _position(data[:nul].decode("utf-8"))
        raise ContentError(file, line, column, "A NUL byte.", "Save the file as plain text.")
    return text.removeprefix("\ufeff")


def _position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of the character that follows `before`."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


class _StrictLoader(yaml.SafeLoader):
    """Knows true, false, null and decimal numbers; everything else is text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own attribute


_BOOL, _INT, _FLOAT, _NULL = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null"))

for _tag, _pattern, _first in (
    (_BOOL, r"(?:true|false)\Z", "tf"),
    (_INT, r"-?(?:0|[1-9][0-9]*)\Z", "-0123456789"),
    (_FLOAT, r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?\Z", "-0123456789"),
    (_NULL, r"(?:null|~|)\Z", ["n", "~", ""]),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))

# C0 except tab and line feed, DEL, C1, line and paragraph separators, bidirectional controls, lone surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class _Open:
    """A list or mapping whose end has not been seen yet."""

    def __init__(self, place: Place, *, is_map: bool) -> None:
        self.place = place
        self.is_map = is_map
        self.items: list[Node] = []
        self.entries: dict[str, Node] = {}
        self.key_places: dict[str, Place] = {}
        self.key: str | None = None  # the key whose value comes next

    def closed(self) -> Node:
        if self.is_map:
            return MapNode(MappingProxyType(self.entries), MappingProxyType(self.key_places), self.place)
        return ListNode(tuple(self.items), self.place)


class _Builder:
    def __init__(self, file: str, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._nodes = 0
        self._open: list[_Open] = []
        self._root: Node | None = None

    def build(self, text: str) -> Node:
        loader = _StrictLoader(text)
        try:
            for event in _events(loader):
                self._take(loader, event)
        finally:
            loader.dispose()
        if self._root is None:
            raise ContentError(self._file, 1, 1, "The file is empty.", "Compare it with a file that works.")
        return self._root

    def _take(self, loader: _StrictLoader, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                if self._root is not None:
                    raise self._error(event, "A second document.", "Keep one document in a file: remove the '---'.")
                if event.version or event.tags:
                    raise self._error(event, "A %YAML or %TAG directive.", "Remove the line that starts with '%'.")
            case yaml.AliasEvent():
                raise self._error(event, "An alias (*name).", "Write the value out where it is needed.")
            case yaml.ScalarEvent():
                self._check(event)
                self._scalar(loader, event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._check(event)
                self._start(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._add(self._open.pop().closed())
            case _:
                pass

    def _check(self, event: yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        if event.anchor is not None:
            raise self._error(event, "An anchor (&name).", "Write the value out where it is needed.")
        if event.tag is not None:
            raise self._error(event, "A tag (!name).", "Remove it: values say themselves what they are.")
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            raise self._error(event, f"More than {self._limits.nodes} values.", "Shorten the file.")

    def _start(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        if len(self._open) >= self._limits.depth:
            raise self._error(event, f"Nested deeper than {self._limits.depth} levels.", "Flatten the structure.")
        if self._open and self._open[-1].is_map and self._open[-1].key is None:
            raise self._error(event, "A key that is a list or a mapping.", "Quote it if it is meant to be text.")
        self._open.append(_Open(self._place(event), is_map=isinstance(event, yaml.MappingStartEvent)))

    def _scalar(self, loader: _StrictLoader, event: yaml.ScalarEvent) -> None:
        text = event.value
        if _CONTROL.search(text):
            raise self._error(event, "A control character in a value.", "Write plain text.")
        if len(text.encode()) > self._limits.value_bytes:
            limit = self._limits.value_bytes // 1024
            raise self._error(event, f"A value longer than {limit} KiB.", "Shorten it.")
        plain = event.implicit[0]  # written without quotes
        tag = loader.resolve(yaml.ScalarNode, text, (True, False)) if plain else None  # type: ignore[no-untyped-call]
        value = self._value(tag, event)
        parent = self._open[-1] if self._open else None
        if parent is None or not parent.is_map or parent.key is not None:
            self._add(ScalarNode(value, text, self._place(event)))
            return
        if text == "<<":
            raise self._error(event, "A merge key (<<).", "Write the values out where they are needed.")
        if not isinstance(value, str):
            raise self._error(event, f"The key {shown(text)} is not text.", "Quote it.")
        if text in parent.entries:
            first = parent.key_places[text].line
            raise self._error(event, f"The key {shown(text)} again, first on line {first}.", "Keep one of the two.")
        parent.key = text
        parent.key_places[text] = self._place(event)

    def _value(self, tag: str | None, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        text: str = event.value
        if tag == _BOOL:
            return text == "true"
        if tag == _NULL:
            return None
        if tag == _INT:
            try:
                return int(text)
            except ValueError as error:  # Python's limit on digits
                raise self._error(event, "A number with too many digits.", "Shorten it.") from error
        if tag == _FLOAT:
            number = float(text)
            if not math.isfinite(number):
                raise self._error(event, "A number that is too large.", "Shorten it.")
            return number
        return text

    def _add(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if not parent.is_map:
            parent.items.append(node)
            return
        assert parent.key is not None, "a value follows its key"
        parent.entries[parent.key] = node
        parent.key = None

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1, 1)

    def _error(self, event: yaml.Event, message: str, way_out: str) -> ContentError:
        place = self._place(event)
        return ContentError(place.file, place.line, place.column, message, way_out)


def _events(loader: _StrictLoader) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()  # type: ignore[no-untyped-call]


def shown(text: str, *, limit: int = 60) -> str:
    """`text` as an error may quote it: escaped where it could disturb a terminal, at most `limit` characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", short).replace("\n", "\\n").replace("\t", "\\t")
