"""Runs one experiment: traffic, script, healing, final read.

The order is what makes the verdict sound (AUDITOR's conditions for the final read): the script's faults are lifted,
the producers closed, brokers back, ISR full, consumers drained, and only then the log is read to its end by a fresh
reader straight from the brokers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kafkaprep import __version__, paths
from kafkaprep.engine.cluster.base import Cluster
from kafkaprep.engine.cluster.inspect import PartitionState
from kafkaprep.engine.faults.base import LiveRun
from kafkaprep.engine.faults.script import Script
from kafkaprep.engine.plan import assignment, save_plan
from kafkaprep.engine.process import Guardian
from kafkaprep.engine.recorder import Listener, Recorder
from kafkaprep.engine.saved_run import BOUNDS, LOG_LEDGER, SINK, handled_ledger, sends_ledger
from kafkaprep.engine.traffic.actors import ConsumerActor, ProducerActor, ReaderActor
from kafkaprep.engine.traffic.sink import create_sink, settle_sink
from kafkaprep.engine.traffic.specs import Barrier, ConsumerSpec, ProducerSpec, ReaderSpec
from kafkaprep.engine.waiting import WaitTimeout, wait_until
from kafkaprep.errors import ClusterError, RunStopped, RunVoid
from kafkaprep.model.history import EventName, RunPlan
from kafkaprep.model.script import crash_points
from kafkaprep.model.settings import Scope

CLIENT_READY_S = 20.0
BROKERS_READY_S = 60.0
PRODUCER_CLOSE_S = 30.0
CONSUMER_CLOSE_S = 10.0
FULL_ISR_S = 45.0
DRAIN_S = 45.0
READ_BUDGET_S = 60.0
_GAP_S = 5.0  # an app that did not run for that long has missed its deadlines
_TICK_S = 0.2


@dataclass(slots=True)
class _Clock:
    """Durations by phase, in seconds, under the names of the JSON document."""

    durations: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str, started: float) -> None:
        self.durations[name] = self.durations.get(name, 0.0) + time.monotonic() - started


class _Watch(threading.Thread):
    """Tells the counts five times a second and notices when the app itself stood still (laptop asleep, SIGSTOP)."""

    def __init__(self, live: LiveRun) -> None:
        super().__init__(name="watch", daemon=True)
        self._live = live
        self._done = threading.Event()
        self.gap_s = 0.0

    def run(self) -> None:
        monotonic, wall = time.monotonic(), time.time()
        while not self._done.wait(_TICK_S):
            self._live.recorder.show(EventName.COUNTS, **counts(self._live))
            now, now_wall = time.monotonic(), time.time()
            # CLOCK_MONOTONIC stands still while the machine sleeps, the wall clock does not; a clock set by hand
            # looks the same, and voiding such a run is the honest answer as well.
            self.gap_s = max(self.gap_s, now - monotonic, now_wall - wall)
            monotonic, wall = now, now_wall

    def end(self) -> None:
        self._done.set()
        self.join(2)


def counts(live: LiveRun) -> dict[str, int]:
    """What the clients have told so far."""
    producers = [producer.snapshot for producer in live.producers]
    consumers = [consumer.snapshot for consumer in live.all_consumers]
    return {
        "planned": live.plan.messages,
        "sent": sum(each.planned_sent for each in producers),
        "reported": sum(each.reported for each in producers),
        "ok": sum(each.ok for each in producers),
        "errors": sum(each.errors for each in producers),
        "delivered": sum(each.delivered for each in consumers),
        "processed": sum(each.processed for each in consumers),
    }


def run(plan: RunPlan, cluster: Cluster, listener: Listener | None, stop: threading.Event) -> Path:
    """Run `plan` on a started cluster and return the folder of the saved run.

    A fault that does not take hold, or a cluster that breaks by itself, voids the run: that is recorded, not raised.
    Raises RunStopped (the folder stays, without an end) and ClusterError when the lab could not begin.
    """
    began = datetime.now(UTC)
    folder = paths.runs() / f"{began:%Y%m%d-%H%M%S}-{plan.lab}-{plan.nonce[:6]}"
    with ExitStack() as closing:
        cluster.begin_lab()
        closing.callback(_give_back, cluster)
        folder.mkdir(mode=0o700)
        save_plan(plan, folder)
        recorder = Recorder(folder, listener)
        closing.callback(recorder.close)
        journal = paths.writable("state", "journals") / f"{plan.nonce}.json"
        guardian = Guardian(plan.nonce, journal, log=folder / "guardian.log")
        closing.callback(guardian.close)
        _Run(plan, cluster, recorder, guardian, folder, stop).play(began)
    return folder


def _give_back(cluster: Cluster) -> None:
    with suppress(ClusterError):
        cluster.end_lab()


class _Run:
    def __init__(
        self,
        plan: RunPlan,
        cluster: Cluster,
        recorder: Recorder,
        guardian: Guardian,
        folder: Path,
        stop: threading.Event,
    ) -> None:
        self._plan = plan
        self._cluster = cluster
        self._recorder = recorder
        self._guardian = guardian
        self._folder = folder
        self._stop = stop
        self._clock = _Clock()
        self._inspector = cluster.inspector(stop)
        self._void = False
        self._lives = crash_points(plan.steps)  # of the first consumer
        self._started = plan.consumers  # consumer processes; the number of the next one

    def play(self, began: datetime) -> None:
        started = time.monotonic()
        self._phase("prepare")
        producers, consumers, reader = self._clients()
        actors: list[ProducerActor | ConsumerActor | ReaderActor] = [*producers, *consumers, reader]
        for actor in actors:
            actor.start(self._guardian)
        partitions = self._prepare_topic()
        self._record_start(began)
        live = LiveRun(
            plan=self._plan,
            cluster=self._cluster,
            inspector=self._inspector,
            producers=producers,
            consumers=consumers,
            recorder=self._recorder,
            stop=self._stop,
            partitions=partitions,
            start_consumer=self._start_consumer,
        )
        for actor in actors:
            actor.wait_for(lambda seen: seen.ready, CLIENT_READY_S, self._stop, f"{actor.name} is not ready.")
        for consumer in consumers:
            consumer.wait_for(
                lambda seen: seen.assigned is not None, CLIENT_READY_S, self._stop, f"{consumer.name} got no partition."
            )
        self._clock.measure("prepare_s", started)

        watch = _Watch(live)
        watch.start()
        script = Script(self._plan.steps)
        try:
            started = time.monotonic()
            self._phase("traffic")
            self._or_void(lambda: script.play(live))
            self._clock.measure("run_s", started)

            started = time.monotonic()
            self._phase("heal")
            self._or_void(lambda: self._heal(live, script))
            self._clock.measure("heal_s", started)

            started = time.monotonic()
            self._phase("final_read")
            self._or_void(lambda: self._drain_and_read(live, reader))
            self._clock.measure("final_read_s", started)
        finally:
            watch.end()
        if watch.gap_s > _GAP_S:
            self._declare_void("kafkaprep", f"this program stood still for {watch.gap_s:.0f} s")
        self._inspector.delete_topic(self._plan.topic)
        self._inspector.delete_group(self._plan.group)
        self._recorder.record(EventName.COUNTS, **counts(live), stored=reader.snapshot.stored)
        self._recorder.record(
            EventName.RUN_ENDED,
            durations={name: round(value, 3) for name, value in self._clock.durations.items()},
            latency_ms=dict(producers[0].snapshot.latency_ms) or {"p50": None, "p99": None},
            error_names=dict(producers[0].snapshot.error_names),
        )

    def _clients(self) -> tuple[list[ProducerActor], list[ConsumerActor], ReaderActor]:
        plan, t0 = self._plan, self._recorder.t0
        bootstrap = self._cluster.bootstrap
        client_config = str(self._cluster.client_config or "")

        application = dict(plan.settings[Scope.APPLICATION])
        producers = [
            ProducerActor(
                ProducerSpec(
                    name=f"producer-{index}",
                    bootstrap=bootstrap,
                    topic=plan.topic,
                    nonce=plan.nonce,
                    actor=index,
                    t0=t0,
                    ledger=str(self._folder / sends_ledger(index)),
                    client_config=client_config,
                    messages=plan.messages,
                    keys=plan.keys,
                    message_bytes=plan.message_bytes,
                    producers=plan.producers,
                    index=index,
                    settings=dict(plan.settings[Scope.PRODUCER]),
                    application=application,
                ),
                folder=self._folder,
            )
            for index in range(plan.producers)
        ]
        if "sink" in application:
            create_sink(self._folder / SINK, application["sink"])
        consumers = [self._consumer(index, self._lives[0] if index == 0 else ()) for index in range(plan.consumers)]
        reader = ReaderActor(
            ReaderSpec(
                name="reader",
                bootstrap=self._cluster.direct_bootstrap,
                topic=plan.topic,
                nonce=plan.nonce,
                actor=0,
                t0=t0,
                ledger=str(self._folder / LOG_LEDGER),
                client_config=client_config,
                bounds=str(self._folder / BOUNDS),
                transactional="transactional.id" in plan.settings[Scope.PRODUCER],
            ),
            folder=self._folder,
        )
        return producers, consumers, reader

    def _consumer(self, index: int, crashes: tuple[tuple[str, int], ...]) -> ConsumerActor:
        plan, application = self._plan, dict(self._plan.settings[Scope.APPLICATION])
        return ConsumerActor(
            ConsumerSpec(
                name=f"consumer-{index}",
                bootstrap=self._cluster.bootstrap,
                topic=plan.topic,
                nonce=plan.nonce,
                actor=index,
                t0=self._recorder.t0,
                ledger=str(self._folder / handled_ledger(index)),
                client_config=str(self._cluster.client_config or ""),
                group=plan.group,
                # A fresh group reads from the start, unless the lab says otherwise: the topic is fresh as well.
                settings={"auto.offset.reset": "earliest", **plan.settings[Scope.CONSUMER]},
                application=application,
                sink=str(self._folder / SINK) if "sink" in application else "",
                barriers=tuple(Barrier(at, n) for at, n in crashes),
            ),
            folder=self._folder,
        )

    def _start_consumer(self) -> ConsumerActor:
        """A fresh process in the first consumer's place. It is recorded first, so that its ledger is looked for."""
        index, life = self._started, self._started - self._plan.consumers + 1
        self._started += 1
        self._recorder.record(EventName.CONSUMER_STARTED, index=index)
        consumer = self._consumer(index, self._lives[life])
        consumer.start(self._guardian)
        return consumer

    def _prepare_topic(self) -> tuple[PartitionState, ...]:
        self._inspector.await_brokers(self._cluster.brokers, BROKERS_READY_S)
        self._inspector.place_group(self._plan.group, self._cluster.brokers)
        return self._inspector.create_topic(
            self._plan.topic, assignment(self._plan, self._cluster.brokers), self._plan.settings[Scope.TOPIC]
        )

    def _record_start(self, began: datetime) -> None:
        import confluent_kafka

        self._recorder.record(
            EventName.RUN_STARTED,
            began=began.isoformat(timespec="seconds"),
            kafkaprep=__version__,
            cluster={
                "backend": self._cluster.backend,
                "version": self._cluster.version,
                "brokers": len(self._cluster.brokers),
                **({"view": self._cluster.view} if self._cluster.view else {}),
            },
            client={
                "name": "librdkafka",
                "version": confluent_kafka.libversion()[0],
                "binding": f"confluent-kafka {confluent_kafka.version()[0]}",
            },
        )

    def _heal(self, live: LiveRun, script: Script) -> None:
        """Producers closed, faults lifted, everybody back, ISR full. Closing and mending go side by side."""
        failures: list[str] = []
        touched = bool(live.touched)

        def close_producers() -> None:
            for producer in live.producers:
                producer.close(PRODUCER_CLOSE_S)

        closing = threading.Thread(target=close_producers, name="close producers", daemon=True)
        closing.start()
        failures += script.undo(live)
        if touched:
            self._cluster.mend()
            self._inspector.await_brokers(self._cluster.brokers, BROKERS_READY_S)
        wait_until(lambda: not closing.is_alive(), PRODUCER_CLOSE_S + 10, self._stop, "The producers do not close.")
        if not self._inspector.await_full_isr(self._plan.topic, FULL_ISR_S):
            self._recorder.record(EventName.NOTE, text=f"The ISR was not full after {FULL_ISR_S:g} s.")
        if touched:
            self._inspector.elect_preferred(self._plan.topic, range(self._plan.partitions))
            self._inspector.settle_offsets_topic(self._cluster.brokers)
        live.touched.clear()
        for note in self._unasked_deaths():
            failures.append(note)
        if failures:
            raise RunVoid("healing", "; ".join(failures))

    def _unasked_deaths(self) -> list[str]:
        return [node.note for node in self._cluster.status() if node.note]

    def _drain_and_read(self, live: LiveRun, reader: ReaderActor) -> None:
        ends = self._inspector.end_offsets(self._plan.topic, range(self._plan.partitions))
        for consumer in live.consumers:
            if consumer.alive:
                consumer.drain(ends)
        for consumer in live.consumers:
            if consumer.alive:
                try:
                    # One that stands at a crash point that the script never came to will not drain.
                    consumer.wait_for(
                        lambda seen: seen.drained or seen.barrier is not None,
                        DRAIN_S,
                        self._stop,
                        f"{consumer.name} did not drain.",
                    )
                except (WaitTimeout, ClusterError) as error:
                    self._recorder.record(EventName.NOTE, text=str(error))
        for consumer in live.consumers:
            if consumer.snapshot.barrier is None:
                consumer.close(CONSUMER_CLOSE_S)
            else:
                consumer.kill()
        if (self._folder / SINK).exists():
            settle_sink(self._folder / SINK)
        reader.read(READ_BUDGET_S, self._plan.group)
        reader.wait_for(
            lambda seen: seen.complete is not None, READ_BUDGET_S + 10, self._stop, "The final read does not end."
        )
        reader.close(5)

    def _or_void(self, act: Callable[[], None]) -> None:
        """Do `act`; what goes wrong voids the run but does not keep us from healing and reading."""
        try:
            act()
        except RunStopped:
            raise
        except RunVoid as error:
            self._declare_void(error.fault, error.reason)
        except (ClusterError, WaitTimeout) as error:
            self._declare_void("the cluster", str(error))

    def _declare_void(self, fault: str, reason: str) -> None:
        if not self._void:
            self._void = True
            self._recorder.record(EventName.VOID, fault=fault, reason=reason)

    def _phase(self, phase: str) -> None:
        if self._stop.is_set():
            raise RunStopped()
        self._recorder.record(EventName.PHASE, phase=phase)
