"""From a lab and the learner's choices to a plan: all fixed before it starts."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Sequence
from pathlib import Path

from kafkaprep.errors import UsageError
from kafkaprep.model.history import RunPlan
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Scope, Settings

PREFIX = "kafkaprep-"  # of every topic and group we make, on any cluster
MESSAGES_LIMIT = 1_000_000


def make_plan(
    lab: Lab, changes: Settings, *, solution: bool = False, messages: int | None = None, seed: int | None = None
) -> RunPlan:
    """The plan of one run. `messages` scales the traffic; it may not undercut what the script sends by number.

    Raises UsageError when `messages` is out of range.
    """
    count = lab.traffic.messages if messages is None else messages
    sent_by_number = sum(int(step.argument) for step in lab.script if step.verb == "send" and step.argument != "rest")
    if not max(1, sent_by_number) <= count <= MESSAGES_LIMIT:
        raise UsageError(
            f"--messages {count} is out of range.",
            f"Lab {lab.id} takes {max(1, sent_by_number)} to {MESSAGES_LIMIT} messages.",
        )
    nonce = secrets.token_hex(8)
    settings = lab.settings(changes, solution=solution)
    return RunPlan(
        lab=lab.id,
        nonce=nonce,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        messages=count,
        keys=lab.traffic.keys,
        partitions=lab.cluster.partitions,
        replication=lab.cluster.replication,
        producers=lab.traffic.producers,
        consumers=lab.traffic.consumers,
        message_bytes=lab.traffic.message_bytes,
        topic=f"{PREFIX}{lab.id}-{nonce}",
        group=f"{PREFIX}{lab.id}-{nonce}",
        settings=settings,
        promises=tuple(str(promise) for promise in lab.promises),
        steps=tuple((step.verb, step.argument) for step in lab.script),
        compacted="compact" in settings.get(Scope.TOPIC, "cleanup.policy", "delete"),
    )


def assignment(plan: RunPlan, brokers: Sequence[int]) -> list[list[int]]:
    """The replicas of each partition, the first of each its preferred leader.

    The last broker leads no partition where that can be: it coordinates the group (inspect.ensure_offsets_topic). The
    seed decides which of the others leads partition 0.
    """
    leaders = list(brokers[:-1]) or list(brokers)
    shift = random.Random(plan.seed).randrange(len(leaders))  # noqa: S311 - repeatable on purpose
    rows: list[list[int]] = []
    for partition in range(plan.partitions):
        leader = leaders[(shift + partition) % len(leaders)]
        followers = [broker for broker in brokers if broker != leader]
        rows.append([leader, *followers][: plan.replication])
    return rows


def save_plan(plan: RunPlan, folder: Path) -> None:
    (folder / "plan.json").write_text(json.dumps(plan.as_dict(), indent=1) + "\n", encoding="utf-8")
