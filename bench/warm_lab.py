"""A lab on a warm cluster: what is left of its time besides traffic, forced waits and healing."""

from __future__ import annotations

import threading
import time
from statistics import median

from bench.row import Row
from kafkaprep import paths
from kafkaprep.catalog.labs import find_lab, load_labs
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.local import LocalCluster
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.run import run
from kafkaprep.engine.saved_run import open_run
from kafkaprep.model.history import EventName
from kafkaprep.model.settings import Settings


def rows(installation: Installation, rounds: int) -> list[Row]:
    lab = find_lab(load_labs(paths.labs()), "acks-zero")
    stop = threading.Event()
    overheads: list[float] = []
    totals: list[float] = []
    cluster = LocalCluster(installation)
    cluster.start(lambda _: None, stop)
    try:
        for number in range(rounds + 1):
            began = time.monotonic()
            saved = open_run(run(make_plan(lab, Settings()), cluster, None, stop))
            total = time.monotonic() - began
            durations = saved.last(EventName.RUN_ENDED)["durations"]
            if number:  # the first run of a cluster makes the offsets topic and warms the brokers
                totals.append(total)
                overheads.append(total - durations["run_s"] - durations["heal_s"])
    finally:
        cluster.close()
    detail = {"total_s": median(totals)}
    return [Row("warm acks-zero besides traffic, waits, healing", median(overheads), "–", 1.0, "s", detail)]
