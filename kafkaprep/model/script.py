"""The verbs a lab's script may use: one table that catalog and engine share.

A form is what may stand after the verb: a word, or `<count>` (messages), or `broker <id>`, or a point in the
consumer's work with the number of the message at which it is reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafkaprep.model.lab import Capability, Step

COUNT = "<count>"
BROKER = "broker <id>"
REST = "rest"
CRASH_POINTS = ("before_work", "after_work", "before_commit", "after_commit")
_APIS = ("produce", "offset_commit")
_BROKERS = ("leader", "followers", "controller", BROKER)
_CLIENTS = frozenset({"consumer", "producer"})  # our own child processes: no cluster has to be able to do it
_CRASH = re.compile(rf"consumer ({'|'.join(CRASH_POINTS)}) ([1-9][0-9]{{0,6}})")


@dataclass(frozen=True, slots=True)
class Verb:
    """`needs` is what the cluster must be able to do, unless the step is about a client."""

    name: str
    forms: tuple[str, ...]
    meaning: str
    needs: Capability | None = None


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "send",
            (COUNT, REST),
            "hand that many messages to the producer; `rest` is what no other step sends",
        ),
        Verb(
            "await",
            ("all_reported", "reported_or_stalled", "new_leader", "isr_full", "consumer_caught_up", "rule_fired"),
            "wait until this is observed",
        ),
        Verb("pause", (*_BROKERS, "consumer"), "freeze (SIGSTOP)", Capability.PAUSE),
        Verb("resume", (*_BROKERS, "consumer"), "let a frozen one go on (SIGCONT)", Capability.PAUSE),
        Verb("kill", ("leader", "followers", BROKER, "consumer", "producer"), "kill (SIGKILL)", Capability.KILL),
        Verb(
            "crash",
            tuple(f"consumer {point} <n>" for point in CRASH_POINTS),
            "kill (SIGKILL) the first consumer exactly there: at the n-th message of its process, counted from 1",
        ),
        Verb("start", ("consumer",), "start a fresh consumer process in the place of the one that died"),
        Verb("drop_request", _APIS, "swallow the next one before a broker sees it, and close", Capability.PROXY),
        Verb("drop_response", _APIS, "swallow the answer to the next one, and close", Capability.PROXY),
        Verb("outwait", ("parked_fetch", "session_timeout"), "let this time run out"),
    )
}


def form_of(verb: str, argument: str) -> str | None:
    """The form of VERBS that `verb: argument` has; None when it has none."""
    known = VERBS.get(verb)
    if known is None:
        return None
    if argument in known.forms and not argument.endswith(">"):
        return argument
    if COUNT in known.forms and re.fullmatch(r"[1-9][0-9]{0,6}", argument):
        return COUNT
    if BROKER in known.forms and re.fullmatch(r"broker [1-9][0-9]?", argument):
        return BROKER
    crash = _CRASH.fullmatch(argument) if verb == "crash" else None
    return None if crash is None else f"consumer {crash[1]} <n>"


def count_of(step: Step) -> int | None:
    """How many messages a `send` step names; None for `rest` and for every other verb."""
    return int(step.argument) if form_of(step.verb, step.argument) == COUNT else None


def broker_of(step: Step) -> int | None:
    """The broker a step names by its id; None when it names none, or by its role."""
    return int(step.argument.split()[1]) if form_of(step.verb, step.argument) == BROKER else None


def crash_point(verb: str, argument: str) -> tuple[str, int] | None:
    """Where `crash: consumer before_work 120` strikes: the point and the message's number; None for other steps."""
    found = _CRASH.fullmatch(argument) if verb == "crash" else None
    return None if found is None else (found[1], int(found[2]))


def crash_points(steps: Iterable[tuple[str, str]]) -> list[tuple[tuple[str, int], ...]]:
    """For each process the first consumer has in this script, in order, the points at which it is to die."""
    lives: list[tuple[tuple[str, int], ...]] = [()]
    for verb, argument in steps:
        point = crash_point(verb, argument)
        if point is not None:
            lives[-1] += (point,)
        elif (verb, argument) == ("start", "consumer"):
            lives.append(())
    return lives


def capability_of(step: Step) -> Capability | None:
    """What the cluster must be able to do for this step."""
    verb = VERBS.get(step.verb)
    return None if verb is None or step.argument in _CLIENTS else verb.needs


def sends(script: Iterable[Step], messages: int) -> tuple[int, ...]:
    """How many messages each `send` step sends, in order. `rest` is `messages` less all the counted sends.

    Raises ValueError when the counts exceed `messages` or `rest` stands more than once.
    """
    steps = [step for step in script if step.verb == "send"]
    counts = [count_of(step) for step in steps]
    counted = sum(count for count in counts if count is not None)
    if counted > messages:
        raise ValueError(f"the steps send {counted} messages of {messages}")
    if counts.count(None) > 1:
        raise ValueError("`send: rest` stands more than once")
    return tuple(messages - counted if count is None else count for count in counts)
