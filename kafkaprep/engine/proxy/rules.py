"""Which frames a rule spoils, and how; decides and counts, moves no byte: pure.

Every rule counts every frame that fits it. Of the rules whose window holds that number, the one added first acts; the
others leave the frame alone. One thread owns a RuleBook.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, NamedTuple

from kafkaprep.engine.proxy.frames import API_KEYS, API_NAMES
from kafkaprep.errors import ClusterError

UNKNOWN_API = -1  # of a response to a request that nobody saw
MAX_DELAY_MS = 600_000


class Direction(StrEnum):
    REQUEST = "request"
    RESPONSE = "response"
    BOTH = "both"


class Action(StrEnum):
    DROP_REQUEST = "drop_request"  # the broker never sees it
    DROP_RESPONSE = "drop_response"  # the broker did it, the client never hears of it
    DELAY = "delay"  # by delay_ms
    HOLD = "hold"  # until the rule is released
    CLOSE = "close"  # swallow the frame and end the connection; what came before it is delivered
    RESET = "reset"  # swallow the frame and reset the client's side at once (RST)
    REFUSE = "refuse"  # reset new connections: as they open, or at their first request where `client` is given
    BLACK_HOLE = "black_hole"  # swallow without a word


_DIRECTIONS: Mapping[Action, tuple[Direction, ...]] = {  # the first is the default
    Action.DROP_REQUEST: (Direction.REQUEST,),
    Action.DROP_RESPONSE: (Direction.RESPONSE,),
    Action.DELAY: (Direction.REQUEST, Direction.RESPONSE, Direction.BOTH),
    Action.HOLD: (Direction.REQUEST, Direction.RESPONSE, Direction.BOTH),
    Action.CLOSE: (Direction.REQUEST, Direction.RESPONSE, Direction.BOTH),
    Action.RESET: (Direction.REQUEST, Direction.RESPONSE, Direction.BOTH),
    Action.REFUSE: (Direction.REQUEST,),
    Action.BLACK_HOLE: (Direction.BOTH, Direction.REQUEST, Direction.RESPONSE),
}
_MAY_CLOSE = frozenset({Action.DROP_REQUEST, Action.DROP_RESPONSE, Action.HOLD, Action.REFUSE})
_MAY_OVERTAKE = frozenset({Action.DELAY, Action.HOLD})


@dataclass(frozen=True, slots=True)
class Rule:
    """What fits (api, client, broker, direction, the occurrences `from_nth` to `to_nth`) and what happens to it.

    None fits everything; `client` is a prefix of the client id. `close` also ends the connection: after the swallowed
    or held frame; for `refuse` it also resets the connections that are open when the rule comes. A held request
    outlives its client. `overtake` lets later frames of the same connection pass a held or delayed one.
    Raises ClusterError if it makes no sense.
    """

    action: Action
    api: int | None = None
    client: str = ""
    broker: int | None = None
    direction: Direction | None = None
    from_nth: int = 1
    to_nth: int | None = None
    delay_ms: int = 0
    close: bool = False
    overtake: bool = False

    def __post_init__(self) -> None:
        allowed = _DIRECTIONS[self.action]
        if self.direction is None:
            object.__setattr__(self, "direction", allowed[0])
        elif self.direction not in allowed:
            raise _nonsense(f"{self.action} cannot have direction {self.direction}")
        if self.api is not None and self.api not in API_NAMES:
            raise _nonsense(f"no client sends api {self.api}")
        if self.from_nth < 1 or (self.to_nth is not None and self.to_nth < self.from_nth):
            raise _nonsense(f"occurrences {self.from_nth} to {self.to_nth} are none")
        if (self.action is Action.DELAY) != (self.delay_ms != 0) or not 0 <= self.delay_ms <= MAX_DELAY_MS:
            raise _nonsense(f"delay_ms belongs to delay, and is 1 to {MAX_DELAY_MS}")
        if self.close and self.action not in _MAY_CLOSE:
            raise _nonsense(f"close does not go with {self.action}")
        if self.close and self.action is Action.HOLD and self.direction is not Direction.REQUEST:
            raise _nonsense("a held response needs its connection, so close does not go with it")
        if self.overtake and self.action not in _MAY_OVERTAKE:
            raise _nonsense(f"overtake does not go with {self.action}")
        if self.action is Action.REFUSE and self.api is not None:
            raise _nonsense("refuse is about connections, so api does not go with it")

    def fits(self, broker: int, client: str) -> bool:
        """Whether frames of this connection can fit at all."""
        return (self.broker is None or self.broker == broker) and client.startswith(self.client)

    def as_dict(self) -> dict[str, object]:
        """What `parse_rule` reads back; settings that are as by default are left out."""
        shown: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                shown[field.name] = value
        if self.direction is _DIRECTIONS[self.action][0]:
            del shown["direction"]
        if self.api is not None:
            shown["api"] = API_NAMES[self.api]
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in shown.items()}


_KINDS: Mapping[str, tuple[type, ...]] = {
    "action": (str,),
    "api": (str, int, type(None)),
    "client": (str,),
    "broker": (int, type(None)),
    "direction": (str, type(None)),
    "from_nth": (int,),
    "to_nth": (int, type(None)),
    "delay_ms": (int,),
    "close": (bool,),
    "overtake": (bool,),
}


def parse_rule(document: object) -> Rule:
    """The rule that a JSON document describes; an api may be a name or a key. Raises ClusterError."""
    if not isinstance(document, dict):
        raise _nonsense("it must be a mapping")
    values: dict[str, Any] = dict(document)
    for name, value in values.items():
        if name not in _KINDS:
            raise _nonsense(f"it has no key {name!r}")
        if type(value) not in _KINDS[name]:
            raise _nonsense(f"{name} cannot be {value!r}")
    if "action" not in values:
        raise _nonsense("it lacks the key action")
    values["action"] = _word(Action, "action", values["action"])
    if values.get("direction") is not None:
        values["direction"] = _word(Direction, "direction", values["direction"])
    api = values.get("api")
    if isinstance(api, str):
        if api not in API_KEYS:
            raise _nonsense(f"there is no api {api!r}")
        values["api"] = API_KEYS[api]
    return Rule(**values)


def _word(kind: type[StrEnum], what: str, text: str) -> StrEnum:
    try:
        return kind(text)
    except ValueError:
        raise _nonsense(f"{what} cannot be {text!r}") from None


def _nonsense(reason: str) -> ClusterError:
    return ClusterError(f"The proxy cannot follow this rule: {reason}.")


class FrameInfo(NamedTuple):
    """What a rule can ask of a frame. `direction` is never BOTH; `api` is a key or UNKNOWN_API."""

    broker: int
    direction: Direction
    api: int
    client: str


class Verdict(NamedTuple):
    """Which rule acts, and the rule itself."""

    rule_id: int
    rule: Rule


@dataclass(slots=True)
class Counts:
    """What one rule did. `acted` is how often it acted; `held` counts frames ever held, `released` those let go.

    `dropped` counts swallowed frames, among them held ones that could not be delivered any more.
    """

    matched: int = 0
    acted: int = 0
    dropped: int = 0
    delayed: int = 0
    delayed_ms: int = 0
    held: int = 0
    released: int = 0
    closed: int = 0

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


class RuleBook:
    """The rules in force, oldest first, and what each has done. `version` changes with every change of the rules."""

    def __init__(self) -> None:
        self._rules: dict[int, Rule] = {}
        self._counts: dict[int, Counts] = {}
        self._last_id = 0
        self.version = 0

    def add(self, rule: Rule) -> int:
        """The id of the rule from now on; ids are never used twice."""
        self._last_id += 1
        self._rules[self._last_id] = rule
        self._counts[self._last_id] = Counts()
        self.version += 1
        return self._last_id

    def remove(self, rule_id: int) -> None:
        """The rule acts no more; its counts stay until `forget`. Raises ClusterError if it is not known."""
        self.counts(rule_id)
        self._rules.pop(rule_id, None)
        self.version += 1

    def forget(self) -> None:
        """Remove all rules and all counts."""
        self._rules.clear()
        self._counts.clear()
        self.version += 1

    def counts(self, rule_id: int) -> Counts:
        """The live counts of a rule, removed or not. Raises ClusterError if it is not known."""
        try:
            return self._counts[rule_id]
        except KeyError:
            raise ClusterError(f"The proxy has no rule {rule_id}.") from None

    def all_counts(self) -> dict[int, Counts]:
        return dict(self._counts)

    def concerns(self, broker: int, client: str) -> bool:
        """Whether any rule can match frames of this connection."""
        return any(rule.fits(broker, client) for rule in self._rules.values())

    def decide(self, frame: FrameInfo) -> Verdict | None:
        """What happens to the frame: None lets it pass. Counts it."""
        chosen: Verdict | None = None
        for rule_id, rule in self._rules.items():
            if rule.action is Action.REFUSE or not rule.fits(frame.broker, frame.client):
                continue
            if rule.api is not None and rule.api != frame.api:
                continue
            if rule.direction is not frame.direction and rule.direction is not Direction.BOTH:
                continue
            chosen = self._matched(rule_id, rule, chosen)
        return chosen

    def refuses(self, broker: int, client: str | None, *, since: int = 0) -> int | None:
        """The rule that refuses a new connection, None if none does. Counts it.

        `client` is None as the connection opens and is asked again, as text, at its first request. Rules up to the
        id `since` are older than the connection: only they may refuse it by its client.
        """
        chosen: Verdict | None = None
        for rule_id, rule in self._rules.items():
            if rule.action is not Action.REFUSE or bool(rule.client) != (client is not None):
                continue
            if rule.fits(broker, client or "") and (client is None or rule_id <= since):
                chosen = self._matched(rule_id, rule, chosen)
        return None if chosen is None else chosen.rule_id

    def lost(self, rule_id: int) -> None:
        """A frame that the rule held can no longer be delivered."""
        if rule_id in self._counts:
            self._counts[rule_id].dropped += 1

    @property
    def last_id(self) -> int:
        return self._last_id

    def _matched(self, rule_id: int, rule: Rule, chosen: Verdict | None) -> Verdict | None:
        counts = self._counts[rule_id]
        counts.matched += 1
        if chosen is not None or counts.matched < rule.from_nth:
            return chosen
        if rule.to_nth is not None and counts.matched > rule.to_nth:
            return chosen
        counts.acted += 1
        match rule.action:
            case Action.DELAY:
                counts.delayed += 1
                counts.delayed_ms += rule.delay_ms
            case Action.HOLD:
                counts.held += 1
            case Action.REFUSE:
                pass
            case _:
                counts.dropped += 1
        return Verdict(rule_id, rule)
