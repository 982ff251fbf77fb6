"""Closed schemas: every key known, every value checked, every error placed.

Each function takes a node and says in `what` how an error should call it. All raise ContentError.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from kafkaprep.catalog.strict_yaml import ListNode, MapNode, Node, ScalarNode, shown
from kafkaprep.errors import ContentError
from kafkaprep.model.lab import Place

Member = TypeVar("Member", bound=StrEnum)


def error_at(place: Place, message: str, way_out: str = "") -> ContentError:
    return ContentError(place.file, place.line, place.column, message, way_out)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`Did you mean acks?`, or the known names when none is near."""
    names = list(known)
    near = difflib.get_close_matches(name[:100], names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]}?"
    if len(names) > 12:
        return ""
    return f"Known: {', '.join(names)}." if names else ""


def mapping(node: Node, what: str) -> MapNode:
    if isinstance(node, MapNode):
        return node
    raise error_at(node.place, f"{what} must be a mapping (`key: value`), not {_kind(node)}.", "Indent its keys.")


def fields(node: Node, what: str, *, required: Iterable[str], optional: Iterable[str] = ()) -> Mapping[str, Node]:
    """The entries of a mapping that may hold these keys and no others."""
    found = mapping(node, what)
    needed = list(required)
    known = [*needed, *optional]
    for key, place in found.key_places.items():
        if key not in known:
            raise error_at(place, f"{what} has no key {shown(key)}.", did_you_mean(key, known))
    for key in needed:
        if key not in found.entries:
            raise error_at(found.place, f"{what} lacks the key {key}.", f"Add `{key}: …`.")
    return found.entries


def items(node: Node, what: str, *, minimum: int = 0, maximum: int | None = None) -> tuple[Node, ...]:
    """The items of a list that holds `minimum` to `maximum` of them."""
    if not isinstance(node, ListNode):
        raise error_at(node.place, f"{what} must be a list, not {_kind(node)}.", "Start each item with `- `.")
    if len(node.items) < minimum:
        raise error_at(node.place, f"{what} needs at least {minimum} {_plural(minimum)}.", f"It has {len(node.items)}.")
    if maximum is not None and len(node.items) > maximum:
        raise error_at(node.place, f"{what} may hold at most {maximum} items.", f"It has {len(node.items)}.")
    return node.items


def scalar(node: Node, what: str) -> ScalarNode:
    """A single value that is not null."""
    if not isinstance(node, ScalarNode):
        raise error_at(node.place, f"{what} must be one value, not {_kind(node)}.")
    if node.value is None:
        raise error_at(node.place, f"{what} is empty.", "Write a value, or remove the key.")
    return node


def text(node: Node, what: str) -> str:
    """Text that is not blank."""
    value = scalar(node, what).value
    if not isinstance(value, str):
        raise error_at(node.place, f"{what} must be text, not {_kind(node)}.", "Put it in quotes.")
    if not value.strip():
        raise error_at(node.place, f"{what} is empty.", "Write a value, or remove the key.")
    return value.strip()


def line_of_text(node: Node, what: str) -> str:
    """Text on a single line."""
    value = text(node, what)
    if "\n" in value:
        raise error_at(node.place, f"{what} must fit on one line.", "Fold it with `>-` or shorten it.")
    return value


def number(node: Node, what: str) -> int | float:
    value = scalar(node, what).value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error_at(node.place, f"{what} must be a number, not {_kind(node)}.", "Write decimal digits, unquoted.")
    return value


def integer(node: Node, what: str, minimum: int, maximum: int) -> int:
    value = scalar(node, what).value
    if isinstance(value, bool) or not isinstance(value, int):
        raise error_at(
            node.place,
            f"{what} must be a whole number, not {_kind(node)}.",
            "Write decimal digits, unquoted.",
        )
    if not minimum <= value <= maximum:
        raise error_at(
            node.place, f"{what} must be {minimum} to {maximum}.", f"It is {shown(scalar(node, what).text)}."
        )
    return value


def member(node: Node, what: str, kind: type[Member]) -> Member:
    """One of the words of an enumeration."""
    word = scalar(node, what).text
    try:
        return kind(word)
    except ValueError:
        raise error_at(node.place, f"{what} cannot be {shown(word)}.", did_you_mean(word, list(kind))) from None


def members(node: Node, what: str, kind: type[Member]) -> tuple[Member, ...]:
    """A list of words of an enumeration, none twice."""
    found: list[Member] = []
    for item in items(node, what):
        word = member(item, what, kind)
        if word in found:
            raise error_at(item.place, f"{what} lists {word} twice.", "Keep one of the two.")
        found.append(word)
    return tuple(found)


def texts(node: Node, what: str, *, minimum: int = 0, maximum: int | None = None) -> tuple[str, ...]:
    return tuple(text(item, f"An item of {what}") for item in items(node, what, minimum=minimum, maximum=maximum))


def _plural(count: int) -> str:
    return "item" if count == 1 else "items"


def _kind(node: Node) -> str:
    if isinstance(node, MapNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    match node.value:
        case None:
            return "nothing"
        case bool():
            return f"the truth value {node.text}"
        case int() | float():
            return f"the number {shown(node.text)}"
        case _:
            return f"the text {shown(node.text)}"
