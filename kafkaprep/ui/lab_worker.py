"""The one bridge to the engine: blocking calls in, messages out, no widget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from textual.message import Message

from kafkaprep import paths
from kafkaprep.engine.cluster.base import Cluster
from kafkaprep.engine.cluster.install import Installation, InstallProgress
from kafkaprep.engine.saved_run import SavedRun
from kafkaprep.errors import ClusterError, KafkaprepError, RunStopped
from kafkaprep.model.history import Event, EventName
from kafkaprep.ui.fates import fates_by_id
from kafkaprep.ui.live import Feed
from kafkaprep.ui.messages import Judged, RunEnded, RunJudged, RunProgressed, RunRequest
from kafkaprep.ui.words import megabytes

SNAPSHOT_EVERY_S = 0.1
STATUS_EVERY_S = 0.25
_POLL_ENDS_S = 4.0  # an Inspector call blocks for 1.5 s at most

Post = Callable[[Message], object]


class Engine(Protocol):
    """What the screens need of the engine. Every method blocks, so it is called in a thread."""

    def play(self, request: RunRequest, post: Post, stop: threading.Event) -> None:
        """Run and judge; posts RunProgressed, and at the end one RunJudged or RunEnded."""

    def cluster_state(self) -> str:
        """The local cluster in a few words."""
        ...

    def close(self) -> None:
        """Leave the cluster; one that we started goes down."""


class LocalEngine:
    """The real one: one cluster for the app's life, started by the first run."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None

    def play(self, request: RunRequest, post: Post, stop: threading.Event) -> None:
        feed = Feed(request.lab)
        with _every(SNAPSHOT_EVERY_S, lambda: self._tell(feed, post)):
            try:
                ended = self._play(request, feed, stop)
            except RunStopped:
                ended = RunEnded()
            except ClusterError as error:
                self.close()  # a cluster that failed is not used again
                ended = RunEnded(error)
            except KafkaprepError as error:
                ended = RunEnded(error)
        post(ended)

    def cluster_state(self) -> str:
        from kafkaprep.engine.cluster.local import running_host

        if self._cluster is not None:
            return f"running, Kafka {self._cluster.version}, {len(self._cluster.brokers)} brokers"
        return "running, left up by `kafkaprep cluster up`" if running_host() is not None else "starts with a run"

    def close(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def _play(self, request: RunRequest, feed: Feed, stop: threading.Event) -> Message:
        from kafkaprep.engine.plan import make_plan
        from kafkaprep.engine.prepare import check_capabilities, check_clients
        from kafkaprep.engine.run import run

        plan = make_plan(request.lab, request.changes, solution=request.solution)
        check_clients(plan)
        cluster = self._started(feed, stop)
        check_capabilities(request.lab, cluster)
        prepared = threading.Event()

        def listen(event: Event) -> None:
            if event.event is EventName.RUN_STARTED:
                prepared.set()
            feed.on_event(event)

        inspector = cluster.inspector(stop)
        with ExitStack() as closing:
            closing.enter_context(_every(STATUS_EVERY_S, lambda: feed.nodes(cluster.status())))
            closing.enter_context(
                _every(STATUS_EVERY_S, lambda: feed.partitions(inspector.partitions(plan.topic)), after=prepared)
            )
            folder = run(plan, cluster, listen, stop)
        return RunJudged(judge(request, folder))

    def _started(self, feed: Feed, stop: threading.Event) -> Cluster:
        from kafkaprep.engine.cluster.local import LocalCluster, connect

        if self._cluster is None:
            running = connect()
            if running is not None:
                running.close()
            cluster = LocalCluster(None if running is not None else _installed(feed, stop))
            try:
                cluster.start(feed.say, stop)
            except BaseException:
                cluster.close()
                raise
            self._cluster = cluster
        return self._cluster

    @staticmethod
    def _tell(feed: Feed, post: Post) -> None:
        if feed.changed:
            post(RunProgressed(feed.snapshot()))


def judge(request: RunRequest, folder: Path) -> Judged:
    """Judge the saved run in `folder`, remember its outcome, and fetch all that is shown of it."""
    from kafkaprep.engine.explain import missing_ids, ranges, why
    from kafkaprep.engine.proven import note_outcome
    from kafkaprep.engine.saved_run import open_run

    saved: SavedRun = open_run(folder)
    note_outcome(folder.parent, request.lab.id, saved.outcome)
    return Judged(request, saved, fates_by_id(saved), ranges(missing_ids(saved)), why(request.lab, saved))


def proven() -> dict[str, set[str]]:
    """lab → conclusive outcomes seen on this machine."""
    from kafkaprep.engine.proven import proven_labs

    return proven_labs(paths.runs())


def _installed(feed: Feed, stop: threading.Event) -> Installation:
    """What is installed, installing it first if needed; the size is told before anything is fetched."""
    from kafkaprep.engine.cluster import install

    found = install.installation()
    if found is not None and found.archive is not None:
        return found
    if found is None:
        needed, version = install.needed_bytes(), install.lock().kafka_version
        feed.fetched(f"Apache Kafka {version} is not here yet: {megabytes(needed)} to download, once.", 0, needed)

    def progress(told: InstallProgress) -> None:
        if told.doing == "fetching" and told.total_bytes:
            feed.fetched(f"Fetching {told.name}", told.done_bytes, told.total_bytes)
        else:
            feed.say(told.note or _DOING[told.doing])

    return install.install(progress, stop)


_DOING = {
    "waiting": "Waiting for another kafkaprep that is installing",
    "fetching": "Fetching the jars",
    "verifying": "Verifying the checksums",
    "training": "Training the class archive, so that brokers start faster (once)",
}


@contextmanager
def _every(period_s: float, act: Callable[[], None], after: threading.Event | None = None) -> Iterator[None]:
    """Call `act` again and again in a thread of its own until the block ends. It shows things, so it may fail."""
    done = threading.Event()

    def loop() -> None:
        while not done.wait(period_s):
            if after is None or after.is_set():
                try:
                    act()
                except KafkaprepError:
                    continue  # nobody answers at this moment

    thread = threading.Thread(target=loop, name="show", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_POLL_ENDS_S)
