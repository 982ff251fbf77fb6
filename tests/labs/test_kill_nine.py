"""SIGKILL the app at any moment of a run: soon after there is no process, no port and no folder of ours.

KAFKAPREP_KILLS says how often (5), KAFKAPREP_KILL_SEED repeats the moments of an earlier run.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from command import start
from ours import LONG_S, ports_of, processes_naming, seconds_until

from kafkaprep.engine.cluster.ports import is_listening

KILLS = int(os.environ.get("KAFKAPREP_KILLS", "5"))
WITHIN_S = 2.0

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(120 + 40 * KILLS)]


def test_nothing_outlives_a_killed_app(
    kafka_installation: object, own_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("KAFKAPREP_KILL_SEED", random.randrange(10**6)))
    chance = random.Random(seed)
    cluster_folders = own_folders / "state" / "cluster"
    whole_s = 12.0
    took: list[float] = []
    moments: list[str] = []
    for number in range(KILLS):
        moment_s = chance.uniform(0.2, whole_s)
        with start("lab", "acks-zero", "--plain", "--quiet") as process:
            deadline = time.monotonic() + moment_s
            seen = []
            while time.monotonic() < deadline and process.poll() is None:
                seen = processes_naming(own_folders)
                process.poll()
            ports = set(ports_of(seen))
            ended = process.poll() is not None
            process.kill()
            process.wait(LONG_S)

            def gone() -> bool:
                return not processes_naming(own_folders) and not list(cluster_folders.glob("cluster-*"))

            took.append(seconds_until(gone, f"kill {number} (seed {seed}) after {moment_s:.2f} s left something"))
            process.communicate(timeout=LONG_S)
        moments.append(f"{moment_s:.1f} s{' (over)' if ended else ''}: {len(seen)} processes, {took[-1]:.2f} s")
        assert not [port for port in ports if is_listening(port)]
    with capsys.disabled():
        slowest = max(took)
        print(f"\nkill -9: {KILLS} kills (seed {seed}), everything gone after {slowest:.2f} s at most")
        for moment in moments:
            print(f"  killed at {moment}")
    late = [seconds for seconds in took if seconds > WITHIN_S]
    assert not late
