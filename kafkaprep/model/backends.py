"""What a backend cannot show, and why: one table that catalog and engine share.

A lab runs on the mock cluster only if its file says what it shows there (key `mock`) and nothing here speaks against
it. Steps are allowed by name, so that a new verb stays off a cluster that nobody has thought of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafkaprep.model.lab import Capability
from kafkaprep.model.settings import Scope, Settings

CLIENT_VIEW = "client's view only"

MOCK_LACKS: Mapping[Capability, str] = {
    Capability.PAUSE: "its brokers are threads of one process: none can be frozen without the others",
    Capability.WIPE: "its brokers share one log in memory: none has a copy of its own to lose",
    Capability.REPLICATION: "it has one log per partition and no replicas, ISR or elections",
    Capability.TRANSACTIONS: "it ignores isolation.level and fences no zombie",
    Capability.PROXY: "no proxy stands before it",
}
_OURS_ONLY = "kafkaprep never disturbs the brokers of a cluster that is not its own"
EXTERNAL_LACKS: Mapping[Capability, str] = {
    Capability.KILL: _OURS_ONLY,
    Capability.PAUSE: _OURS_ONLY,
    Capability.WIPE: _OURS_ONLY,
    Capability.PROXY: "its brokers advertise their own addresses, so clients pass by any proxy",
    Capability.TRANSACTIONS: "a transactional id would stay in it that no client can delete",
    Capability.REPLICATION: "it has fewer than 3 brokers",
}

_ON_CLIENTS = {
    ("pause", "consumer"),
    ("resume", "consumer"),
    ("kill", "consumer"),
    ("kill", "producer"),
    ("crash", "consumer"),
    ("start", "consumer"),
    ("await", "all_reported"),
    ("await", "reported_or_stalled"),
    ("await", "consumer_caught_up"),
}
_ON_MOCK = _ON_CLIENTS | {("kill", "leader"), ("kill", "broker"), ("await", "new_leader")}

_IDEMPOTENCE = (
    "it checks no sequence numbers: it stores duplicates that a broker would refuse, and reports losses as stored"
)
_ACKS = "it stores and answers alike whatever acks says"
_SHORTEST_SESSION_MS = 6000  # group.min.session.timeout.ms of a broker with default settings
_TRANSACTION = MOCK_LACKS[Capability.TRANSACTIONS]
_TRUE = frozenset({"true", "t", "1"})


def missing(
    needs: Iterable[Capability], capabilities: Iterable[Capability], why: Mapping[Capability, str]
) -> list[str]:
    """One reason for each need that is not among the capabilities."""
    return [f"no {need} ({why.get(need, 'it cannot do that')})" for need in sorted(set(needs) - set(capabilities))]


def mock_refuses_step(verb: str, argument: str) -> str | None:
    """Why a step would prove nothing on the mock cluster; None when it is honest there."""
    if verb == "send" or (verb, argument.split(" ")[0]) in _ON_MOCK:
        return None
    return f"`{verb}: {argument}` (it has nothing of the kind)"


def mock_refuses_consumers(steps: Iterable[tuple[str, str]], consumers: int) -> list[str]:
    """A consumer may not live through the death of a broker.

    A real broker takes any commit of a member; the mock refuses one whose leader epoch is not the partition's newest
    (FENCED_LEADER_EPOCH), so after a leader has moved, what was read before is never committed.
    """
    named = [
        f"{verb}: {argument}" for verb, argument in steps if verb == "kill" and (verb, argument) not in _ON_CLIENTS
    ]
    if not named or not consumers:
        return []
    return [f"`{named[0]}` beside a consumer (once a leader has moved, it refuses commits that a broker would take)"]


def external_refuses_step(verb: str, argument: str) -> str | None:
    """Why a step may not be played on somebody's own cluster; None when it only concerns our clients."""
    if verb == "send" or (verb, argument.split(" ")[0]) in _ON_CLIENTS:
        return None
    return f"`{verb}: {argument}` ({_OURS_ONLY})"


def mock_refuses_settings(settings: Settings) -> list[str]:
    """Settings that the mock cluster ignores, or answers in the opposite way of a broker."""
    return [
        f"{scope}.{name}={value} ({why})" for scope, name, value in settings if (why := _mock_lie(scope, name, value))
    ]


def _mock_lie(scope: Scope, name: str, value: str) -> str | None:
    match scope, name:
        case ((Scope.TOPIC | Scope.BROKER), _):
            return "it has no such setting"
        case Scope.PRODUCER, "enable.idempotence" if value.lower() in _TRUE:
            return _IDEMPOTENCE
        case Scope.PRODUCER, ("acks" | "request.required.acks") if value not in ("all", "-1"):
            return _ACKS
        case Scope.PRODUCER, ("transactional.id" | "transaction.timeout.ms"):
            return _TRANSACTION
        case Scope.CONSUMER, "isolation.level":
            return _TRANSACTION
        case _:
            return None


def external_refuses_settings(settings: Settings) -> list[str]:
    """Settings that would change more of somebody's cluster than our own topic and group."""
    reasons = [f"broker.{name} ({_OURS_ONLY})" for name in settings[Scope.BROKER]]
    if "transactional.id" in settings[Scope.PRODUCER]:
        reasons.append(f"producer.transactional.id ({EXTERNAL_LACKS[Capability.TRANSACTIONS]})")
    session_ms = settings.get(Scope.CONSUMER, "session.timeout.ms", "")
    if session_ms.isdigit() and int(session_ms) < _SHORTEST_SESSION_MS:
        way_out = f"add --set consumer.session.timeout.ms={_SHORTEST_SESSION_MS}"
        reasons.append(f"consumer.session.timeout.ms={session_ms} (brokers with default settings refuse it: {way_out})")
    return reasons
