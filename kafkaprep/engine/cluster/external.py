"""The learner's own cluster: touches only what it made, and takes that away.

What is made is written down first (one file a topic, in the state folder) and struck off once it is gone, so that a
killed kafkaprep leaves nothing for long: the next one to reach the same cluster removes it. No broker is disturbed, no
name without our prefix is ever asked for by an act, and no topic that was there before is used.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kafkaprep import paths
from kafkaprep.engine.client_properties import BOOTSTRAP, read_client_properties, redacted, without_secrets
from kafkaprep.engine.cluster.base import NodeState, NodeStatus, Progress
from kafkaprep.engine.cluster.inspect import PERMANENT, Inspector, PartitionState, kafka_error
from kafkaprep.engine.process import is_running, started_at
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.engine.waiting import WaitTimeout, wait_until
from kafkaprep.errors import CapabilityMissing, ClusterError
from kafkaprep.model.backends import EXTERNAL_LACKS
from kafkaprep.model.lab import Capability

CONNECT_TIMEOUT_S = 20.0
BROKERS_FOR_REPLICATION = 3
_CALL_TIMEOUT_S = 10.0
_LOOK_S = 3.0
_CREATE_S = 30.0
_REMOVE_TOPIC_S = 30.0
_REMOVE_GROUP_S = 60.0  # a killed member counts until its session ends, 45 s unless the lab says otherwise
_LAST_TRY_S = 4.0
_OURS = re.compile(r"kafkaprep-[a-z0-9][a-z0-9-]*-[0-9a-f]{16}")
_NEVER = threading.Event()


class ExternalCluster:
    """`Cluster` over brokers that are not ours. See base.Cluster for what each method promises."""

    backend = "external"
    view = ""
    version = "unknown"  # no request tells it
    most_capabilities = frozenset({Capability.REPLICATION})

    def __init__(self, bootstrap: str, client_config: Path | None = None) -> None:
        """Raises ContentError when the properties file is malformed."""
        self.client_config = None if client_config is None else client_config.absolute()
        self.properties = {} if client_config is None else read_client_properties(client_config)
        self.properties.pop(BOOTSTRAP, None)
        self.capabilities = self.most_capabilities  # until its brokers are counted
        self.bootstrap = bootstrap
        self.direct_bootstrap = bootstrap
        self.brokers: tuple[int, ...] = ()
        self._id = ""
        self._made: dict[str, str | None] = {}  # topic → group, both ours
        self._say: Progress = lambda text: None
        self._watching: ExternalInspector | None = None

    def inspector(self, stop: threading.Event) -> ExternalInspector:
        return ExternalInspector(self, stop)

    def start(self, progress: Progress, stop: threading.Event) -> None:
        self._say = progress
        inspector = self._watching = self.inspector(stop)
        shown = "".join(f", {name}={value}" for name, value in redacted(self.properties).items())
        progress(f"Connecting to {sanitise(self.bootstrap + shown)}")
        try:
            self._id, self.brokers = wait_until(inspector.identity, CONNECT_TIMEOUT_S, stop, "") or ("", ())
        except WaitTimeout:
            raise ClusterError(
                f"No broker answers at {sanitise(self.bootstrap, 200)}{inspector.trouble()}.",
                "Check --bootstrap and --client-config.",
            ) from None
        if len(self.brokers) < BROKERS_FOR_REPLICATION:
            self.capabilities = frozenset()
        self._sweep(inspector)

    def status(self) -> tuple[NodeStatus, ...]:
        found = self._watching.identity() if self._watching is not None else None
        alive = self.brokers if found is None else found[1]  # no answer now is no death
        return tuple(
            NodeStatus(broker, "broker", NodeState.RUNNING, None, 0)
            if broker in alive
            else NodeStatus(broker, "broker", NodeState.DEAD, None, 0, f"Broker {broker} left the cluster.")
            for broker in self.brokers
        )

    def pause(self, node: int) -> None:
        raise _refused(Capability.PAUSE)

    def resume(self, node: int) -> None:
        raise _refused(Capability.PAUSE)

    def kill(self, node: int) -> None:
        raise _refused(Capability.KILL)

    def restart(self, node: int) -> None:
        raise _refused(Capability.KILL)

    def mend(self) -> None:
        """Nothing here was ever broken by us."""

    def begin_lab(self) -> None:
        """Topics bear a nonce: any number of labs may share the cluster."""

    def end_lab(self) -> None:
        """Remove what an interrupted run has left; what will not go now goes when we next reach this cluster."""
        if not self._made:
            return
        inspector = ExternalInspector(self, _NEVER)
        for topic in list(self._made):
            if not inspector.remove(topic, _LAST_TRY_S, _LAST_TRY_S):
                self._write(topic, self._made.pop(topic), maker=0)
                self._say(f"{topic} could not be removed yet; the next run on this cluster tries again.")

    def close(self) -> None:
        self._watching = None

    # What we made, on disk before it exists

    def remember(self, topic: str, group: str | None) -> None:
        """Write down that `topic` and `group` are ours. Raises ClusterError for a name that cannot be ours."""
        for name in (topic, group):
            if name is not None and not _OURS.fullmatch(name):
                raise ClusterError(f"{sanitise(name, 200)} is no name that kafkaprep gives.")
        self._made[topic] = group
        self._write(topic, group, maker=os.getpid())

    def _write(self, topic: str, group: str | None, maker: int) -> None:
        """`maker` is the process that will remove them; 0 if it has given up."""
        record = {
            "cluster": self._id,
            "topic": topic,
            "group": group,
            "pid": maker,
            "created": started_at(maker) if maker else 0.0,
        }
        draft = self._record(topic).with_suffix(".part")
        draft.write_text(json.dumps(record), encoding="utf-8")
        draft.replace(self._record(topic))

    def forget(self, topic: str) -> None:
        self._made.pop(topic, None)
        self._record(topic).unlink(missing_ok=True)

    def made(self, topic: str) -> bool:
        return topic in self._made

    def group_of(self, topic: str) -> str | None:
        return self._made.get(topic)

    def topic_of(self, group: str) -> str | None:
        """The topic that `group` was made with; None if we did not make it."""
        return next((topic for topic, made in self._made.items() if made == group), None)

    def say(self, text: str) -> None:
        self._say(text)

    @staticmethod
    def _record(topic: str) -> Path:
        return paths.writable("state", "external") / f"{topic}.json"

    def _sweep(self, inspector: ExternalInspector) -> None:
        """Remove what a killed kafkaprep had made in this very cluster."""
        for file in sorted(paths.writable("state", "external").glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                topic, group = str(record["topic"]), record["group"]
                ours = all(_OURS.fullmatch(name) for name in (topic, group or topic))
                if not ours or not self._id or record["cluster"] != self._id:
                    continue
                if is_running(int(record["pid"]), float(record["created"])):
                    continue
                self._made[topic] = group
                if inspector.remove(topic, _LAST_TRY_S, _LAST_TRY_S):
                    self._say(f"Removed {topic}, which an earlier run had left.")
                else:
                    self._made.pop(topic)


def _refused(capability: Capability) -> CapabilityMissing:
    return CapabilityMissing(f"An external cluster cannot {capability}: {EXTERNAL_LACKS[capability]}.")


class ExternalInspector(Inspector):
    """An inspector with a login and more patience; its acts only ever reach what `cluster` has made."""

    def __init__(self, cluster: ExternalCluster, stop: threading.Event) -> None:
        super().__init__(cluster.bootstrap, stop, cluster.properties, _CALL_TIMEOUT_S)
        self._cluster = cluster
        self._client_error = ""
        self._callbacks = {"error_cb": self._noted}
        self._group: str | None = None
        self._removed: set[str] = set()

    def _noted(self, error: Any) -> None:
        self._client_error = str(error.str())

    def trouble(self) -> str:
        """` (why)`, in the client's words but without a secret in them; empty if it has not said why."""
        text = self._client_error or self._last_error
        return f" ({sanitise(without_secrets(text, self._properties), 300)})" if text else ""

    def identity(self) -> tuple[str, tuple[int, ...]] | None:
        """The cluster's id and its brokers; None if nobody answers."""

        def ask() -> tuple[str, tuple[int, ...]]:
            try:
                found = self.client.list_topics(timeout=_LOOK_S)
            finally:
                self.client.poll(0)  # serves error_cb
            return str(found.cluster_id or ""), tuple(sorted(int(broker) for broker in found.brokers))

        return self._try(ask)

    def place_group(self, group: str, brokers: Sequence[int]) -> None:
        """The cluster decides who coordinates it; we only take note of it."""
        self._group = group

    def create_topic(
        self, name: str, assignment: Sequence[Sequence[int]], config: Mapping[str, str], timeout_s: float = _CREATE_S
    ) -> tuple[PartitionState, ...]:
        """Create `name`, placed by the cluster itself. Raises ClusterError if it was there before."""
        from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

        topic = NewTopic(
            name, num_partitions=len(assignment), replication_factor=len(assignment[0]), config=dict(config)
        )
        self._cluster.remember(name, self._group)
        asked = 0

        def create() -> bool:
            nonlocal asked
            asked += 1
            try:
                self.client.create_topics([topic], request_timeout=_CALL_TIMEOUT_S)[name].result(_CALL_TIMEOUT_S + 1)
            except Exception as error:
                reason = kafka_error(error)
                exists = reason.name() == "TOPIC_ALREADY_EXISTS"
                if exists and asked > 1:
                    return True  # an answer to an earlier call was lost: it is ours
                if exists or reason.name() in PERMANENT:
                    self._cluster.forget(name)
                    why = "it exists already, and kafkaprep uses only what it made" if exists else reason.str()
                    raise ClusterError(f"The topic {name} could not be created: {why}.") from error
                self._last_error = reason.str()
                return False
            return True

        self._await(create, timeout_s, lambda: f"The topic {name} could not be created{self.trouble()}.")
        return self._await_led(name, len(assignment), timeout_s)

    def ensure_offsets_topic(self, brokers: Sequence[int]) -> None:
        """It is the cluster's own."""

    def settle_offsets_topic(self, brokers: Sequence[int]) -> None:
        """It is the cluster's own."""

    def elect_preferred(self, topic: str, partitions: Sequence[int]) -> None:
        """Leaders are the cluster's own."""

    def delete_topic(self, name: str) -> None:
        self._remove_topic(name, _REMOVE_TOPIC_S)

    def delete_group(self, group: str) -> None:
        topic = self._cluster.topic_of(group)
        if topic is not None and self._remove_group(group, _REMOVE_GROUP_S) and topic in self._removed:
            self._cluster.forget(topic)

    def remove(self, topic: str, topic_s: float, group_s: float) -> bool:
        """Remove a topic of ours and its group; False if one of them is still there."""
        group = self._cluster.group_of(topic)
        gone = self._remove_topic(topic, topic_s) and (group is None or self._remove_group(group, group_s))
        if gone:
            self._cluster.forget(topic)
        return gone

    def _remove_topic(self, name: str, timeout_s: float) -> bool:
        """Delete the topic and see it gone. All topics are listed for that: asking for one by name may create it."""
        call_s = min(_CALL_TIMEOUT_S, timeout_s)

        def delete() -> None:
            self.client.delete_topics([name], request_timeout=call_s)[name].result(call_s + 0.5)

        def gone() -> bool:
            self._do(delete, "UNKNOWN_TOPIC_OR_PART")
            found = self._try(lambda: self.client.list_topics(timeout=_LOOK_S))
            return found is not None and bool(found.brokers) and name not in found.topics

        if self._cluster.made(name) and self._in_time(gone, timeout_s):
            self._removed.add(name)
        return name in self._removed

    def _remove_group(self, group: str, timeout_s: float) -> bool:
        """Delete the group, once its last member has left or its session has ended."""
        told = False
        call_s = min(_CALL_TIMEOUT_S, timeout_s)

        def delete() -> None:
            self.client.delete_consumer_groups([group], request_timeout=call_s)[group].result(call_s + 0.5)

        def gone() -> bool:
            nonlocal told
            answer = self._do(delete, "GROUP_ID_NOT_FOUND")
            if answer == "NON_EMPTY_GROUP" and not told:
                told = True
                self._cluster.say("Waiting until the cluster has noticed that our consumers are gone")
            return answer is None

        return self._in_time(gone, timeout_s)

    def _do(self, act: Callable[[], None], fine: str) -> str | None:
        """The name of the error that `act` met; None after success, and for the error that means it was done."""
        try:
            act()
        except Exception as error:  # confluent_kafka, concurrent.futures
            reason = kafka_error(error)
            self._last_error = reason.str()
            return None if reason.name() == fine else reason.name()
        return None

    def _in_time(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        try:
            return wait_until(condition, timeout_s, self._stop, "")
        except WaitTimeout:
            return False
