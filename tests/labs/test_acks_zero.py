"""The lab acks-zero on real brokers, as a learner or a script runs it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import Done, program, start
from ours import LONG_S, ports_of, processes_naming, soon

from kafkaprep import paths
from kafkaprep.catalog.labs import find_lab, load_labs, parse_lab
from kafkaprep.engine.cluster.local import LocalCluster, running_host, take_down
from kafkaprep.engine.cluster.ports import is_listening
from kafkaprep.engine.explain import ranges
from kafkaprep.engine.faults.awaits import NewLeader
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.run import run
from kafkaprep.engine.saved_run import open_run
from kafkaprep.errors import ClusterError
from kafkaprep.model.lab import Lab
from kafkaprep.model.ledger import RowReader
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome

pytestmark = pytest.mark.kafka

STOP = threading.Event()
FORCED = range(300, 400)  # sent to a frozen leader: with acks=0 each of them is lost, every time
DOCUMENT = (
    *("format", "lab", "outcome", "cluster", "void", "client", "seed", "settings", "counts", "fates"),
    *("promises", "faults", "durations", "latency_ms", "history"),
)
COUNTS = (
    *("planned", "sent", "reported_delivered", "acked", "failed", "unknown", "in_log", "missing", "lost"),
    *("duplicated_in_log", "processed", "processed_twice", "unprocessed", "skipped", "reordered", "aborted_seen"),
)


@pytest.fixture
def warm(cluster: LocalCluster, shared_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs attach to the shared cluster."""
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(shared_state))


@pytest.fixture
def taken_down(own_folders: Path) -> Iterator[None]:
    yield
    take_down()
    soon(lambda: not processes_naming(own_folders), "processes are left")


def check_shape(document: dict[str, Any]) -> None:
    """The document of DESIGN §4: every key, sums that agree, values of the right kind."""
    assert set(document) >= set(DOCUMENT)
    assert document["format"] == 1
    assert document["lab"] == "acks-zero"
    assert set(document["cluster"]) >= {"backend", "version", "brokers"}
    assert (document["cluster"]["backend"], document["cluster"]["brokers"]) == ("local", 3)
    assert document["client"]["name"] == "librdkafka" and document["client"]["version"]
    assert set(document["settings"]) == {"producer", "consumer", "topic", "broker", "application"}
    assert set(COUNTS) <= set(document["counts"])
    assert all(isinstance(count, int) and count >= 0 for count in document["counts"].values())
    assert sum(document["fates"].values()) == document["counts"]["planned"]
    assert set(document["latency_ms"]) == {"p50", "p99"}
    assert all(seconds >= 0 for seconds in document["durations"].values())
    for promise in document["promises"]:
        assert set(promise) >= {"name", "outcome", "count", "examples", "severity"}
        assert len(promise["examples"]) <= 20
    for fault in document["faults"]:
        assert set(fault) >= {"name", "target", "broker", "at_s", "observed"}
    assert Path(document["history"]).is_dir()


def check_durations(document: dict[str, Any]) -> None:
    durations = document["durations"]
    assert {"cluster_start_s", "run_s", "heal_s", "audit_s", "total_s"} <= set(durations)
    assert durations["total_s"] >= durations["run_s"] + durations["heal_s"] > 0


def check_faults(document: dict[str, Any]) -> None:
    """Frozen, then killed: the same broker. Then another one led."""
    pause, kill, moved = document["faults"]
    assert [fault["name"] for fault in (pause, kill, moved)] == ["pause", "kill", "new leader"]
    assert pause["broker"] == kill["broker"] != moved["broker"]
    assert 0 < pause["at_s"] <= kill["at_s"] <= moved["at_s"]


def check_replay(document: dict[str, Any], code: int) -> None:
    """The saved run alone gives the identical verdict."""
    again = program("audit", document["history"], "--json")
    assert again.code == code
    replayed = again.document
    assert set(replayed) == set(document)
    for name in document:
        if name != "durations":
            assert replayed[name] == document[name], name
    assert all(document["durations"][name] == seconds for name, seconds in replayed["durations"].items())


def run_folder(document: dict[str, Any]) -> Any:
    return open_run(Path(document["history"]))


def test_the_start_loses_what_was_reported_as_delivered_and_names_it(
    kafka_installation: object, own_folders: Path, taken_down: None
) -> None:
    """From nothing: a cluster of its own, which is gone afterwards."""
    done = program("lab", "acks-zero", "--json", "--seed", "7", "--expect", "broken")
    document = done.document
    assert done.code == 0
    check_shape(document)
    check_durations(document)
    check_faults(document)
    assert (document["outcome"], document["void"], document["seed"]) == ("broken", None, 7)
    assert document["settings"]["producer"]["acks"] == "0"
    counts = document["counts"]
    assert counts["planned"] == counts["sent"] == counts["reported_delivered"] == 1000
    assert counts["missing"] >= len(FORCED)
    assert counts["in_log"] == counts["processed"] == 1000 - counts["missing"]
    assert counts["acked"] == counts["lost"] == counts["failed"] == 0  # without an answer nothing is ever known
    (promise,) = document["promises"]
    assert (promise["name"], promise["outcome"], promise["severity"]) == ("no_reported_loss", "broken", "permitted")
    assert promise["count"] == counts["missing"]
    # Which ones: counted by hand from the rows, not by the audit.
    saved = run_folder(document)
    stored = {row.id for row in RowReader((saved.folder / "log.ledger").read_bytes())}
    missing = sorted(set(range(1000)) - stored)
    assert set(FORCED) <= set(missing)
    assert not set(missing) & set(range(300))
    assert len(missing) == counts["missing"] == document["fates"]["unknown_absent"]
    assert saved.verdict.classes["unknown_absent"] == missing
    assert promise["examples"] == missing[:20]
    check_replay(document, 0)
    soon(lambda: not processes_naming(own_folders), "the cluster outlived the command")
    told = program("audit", document["history"])
    assert "BROKEN" in told.out and ranges(missing)[:60] in told.out.replace("\n", " ")


def test_the_solution_keeps_every_message(warm: None) -> None:
    done = program("lab", "acks-zero", "--solution", "--json", "--expect", "kept")
    document = done.document
    assert done.code == 0
    check_shape(document)
    check_durations(document)
    check_faults(document)
    assert (document["outcome"], document["void"]) == ("kept", None)
    assert document["settings"]["producer"]["acks"] == "all"
    counts = document["counts"]
    assert counts["acked"] == counts["reported_delivered"] == counts["in_log"] == counts["processed"] == 1000
    assert counts["missing"] == counts["lost"] == counts["failed"] == counts["unknown"] == 0
    assert document["promises"][0]["severity"] is None
    assert document["fates"]["processed_once"] + document["fates"].get("processed_twice", 0) == 1000
    check_replay(document, 0)


def test_a_setting_by_hand_and_scaled_traffic(warm: None) -> None:
    done = program("lab", "acks-zero", "--set", "producer.acks=all", "--messages", "450", "--json")
    assert (done.code, done.document["outcome"], done.document["counts"]["in_log"]) == (0, "kept", 450)


@pytest.mark.parametrize("expected", ["kept", "broken"])
def test_what_was_not_expected_is_exit_code_1(warm: None, expected: str) -> None:
    settings = ["--solution"] if expected == "broken" else []
    done = program("lab", "acks-zero", "--json", "--messages", "400", "--expect", expected, *settings)
    assert done.code == 1
    assert f"Expected {expected}, got {'kept' if expected == 'broken' else 'broken'}." in done.err
    check_shape(done.document)


def test_repeats_are_one_document(warm: None) -> None:
    done = program("lab", "acks-zero", "--json", "--messages", "400", "--repeat", "2")
    document = done.document
    assert done.code == 0
    assert (document["format"], document["agree"], len(document["repeats"])) == (1, True, 2)
    for each in document["repeats"]:
        check_shape(each)
    assert len({each["history"] for each in document["repeats"]}) == 2


def test_a_second_lab_waits_for_the_first(warm: None) -> None:
    processes = [start("lab", "acks-zero", "--json", "--messages", "400") for _ in range(2)]
    ended: list[Done] = []
    for process in processes:
        with process:
            out, err = process.communicate(timeout=LONG_S * 3)
            ended.append(Done(process.returncode, out, err))
    assert [(done.code, done.document["outcome"]) for done in ended] == [(0, "broken"), (0, "broken")]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_mid_run_ends_it_in_order_and_leaves_nothing(
    kafka_installation: object, own_folders: Path, taken_down: None, signum: signal.Signals
) -> None:
    process = start("lab", "acks-zero", "--plain")
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if "pause leader" in line:
                break
        else:
            pytest.fail("the run ended early")
        ports = ports_of(processes_naming(own_folders))
        assert len(ports) >= 5  # the leader may be dead already
        process.send_signal(signum)
        out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err and err.rstrip().endswith("Stopped.")
    soon(lambda: not processes_naming(own_folders), "a process is left")
    assert not any(is_listening(port) for port in ports)
    assert not list((own_folders / "state" / "cluster").glob("cluster-*"))
    assert not list((own_folders / "state" / "journals").glob("*.json"))
    assert running_host() is None
    # What there is of the run says itself that it proves nothing.
    (folder,) = (own_folders / "data" / "runs").glob("*-acks-zero-*")
    cut = program("audit", folder, "--json")
    assert (cut.code, cut.document["outcome"]) == (3, "inconclusive")


# Runs that prove nothing


def calm_lab(script: str) -> Lab:
    """acks-zero with another script."""
    text = (paths.labs() / "acks-zero.yaml").read_text()
    before, rest = text.split("\nscript:\n", 1)
    _, after = rest.split("\npromises:", 1)
    return parse_lab("acks-zero", f"{before}\nscript:\n{script}\npromises:{after}".encode(), "test.yaml")


def test_a_fault_that_does_not_take_hold_voids_the_run(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NewLeader, "deadline_s", 0.5)
    lab = calm_lab("  - send: 300\n  - await: all_reported\n  - await: new_leader\n  - send: rest")
    saved = open_run(run(make_plan(lab, Settings(), messages=400), cluster, None, STOP))
    assert saved.outcome is Outcome.INCONCLUSIVE
    document = saved.document()
    check_shape(document)
    assert document["void"]["fault"] == "await new_leader"
    assert "no new leader within 0.5 s" in document["void"]["reason"]
    assert document["faults"] == []
    assert document["counts"]["sent"] == 300  # the script ended there
    audited = program("audit", saved.folder, "--json")
    assert (audited.code, audited.document["void"]) == (3, document["void"])


def test_a_void_run_of_the_command_is_exit_code_3(
    warm: None, own_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from command import here

    labs = own_folders / "labs"
    labs.mkdir()
    text = (paths.labs() / "acks-zero.yaml").read_text().replace("  - kill: leader  ", "  - resume: leader  ")
    (labs / "acks-zero.yaml").write_text(text)
    monkeypatch.setattr(paths, "labs", lambda: labs)
    monkeypatch.setattr(NewLeader, "deadline_s", 0.5)
    done = here(capsys, monkeypatch, "lab", "acks-zero", "--json", "--messages", "400")
    assert done.code == 3
    assert done.document["outcome"] == "inconclusive"
    assert done.document["void"]["fault"] == "await new_leader"


def test_a_broker_that_dies_unasked_voids_the_run(cluster: LocalCluster) -> None:
    """The script kills one broker, the system another: that is not the experiment."""
    lab = calm_lab("  - send: 300\n  - kill: leader\n  - await: new_leader\n  - send: rest")
    bystander: list[int] = []

    def kill_a_bystander(event: Any) -> None:
        if event.event == "fault" and event.fields["name"] == "new leader":
            taken = {event.fields["broker"], int(event.fields["target"].split()[1])}
            (other,) = set(cluster.brokers) - taken
            pid = next(node.pid for node in cluster.status() if node.id == other)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            soon(lambda: any(node.note for node in cluster.status()), "the death was not noticed")
            bystander.append(other)

    saved = open_run(run(make_plan(lab, Settings(), solution=True), cluster, kill_a_bystander, STOP))
    assert saved.void is not None
    assert f"broker {bystander[0]} was killed by the system" in saved.void["reason"]


def test_a_broker_that_died_while_nobody_looked_is_back_for_the_next_lab(cluster: LocalCluster) -> None:
    pid = next(node.pid for node in cluster.status() if node.id == 1)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    soon(lambda: any(node.note for node in cluster.status()), "the death was not noticed")
    lab = find_lab(load_labs(paths.labs()), "acks-zero")
    saved = open_run(run(make_plan(lab, Settings(), messages=400), cluster, None, STOP))
    assert saved.void is None
    assert saved.outcome is Outcome.BROKEN


def test_a_lab_that_cannot_begin_leaves_nothing_open(cluster: LocalCluster, own_folders: Path) -> None:
    class Busy:
        def __getattr__(self, name: str) -> Any:
            return getattr(cluster, name)

        def begin_lab(self) -> None:
            raise ClusterError("Another lab is using the cluster.")

    lab = replace(find_lab(load_labs(paths.labs()), "acks-zero"))
    busy: Any = Busy()
    with pytest.raises(ClusterError, match="Another lab"):
        run(make_plan(lab, Settings()), busy, None, STOP)
    assert not list((own_folders / "state" / "journals").glob("*.json"))
    assert not list((own_folders / "data" / "runs").iterdir())


def test_a_killed_client_guardian_voids_the_run_with_one_reason(cluster: LocalCluster, own_folders: Path) -> None:
    """Without the guardian of producer and consumers, they die with it: the run cannot go on, and says so."""
    lab = find_lab(load_labs(paths.labs()), "acks-zero")

    def kill_guardian(event: Any) -> None:
        if event.event == "step_done" and event.fields["index"] == 1:
            (journal,) = (own_folders / "state" / "journals").glob("*.json")
            os.kill(json.loads(journal.read_text())["guardian"]["pid"], signal.SIGKILL)

    saved = open_run(run(make_plan(lab, Settings(), messages=400), cluster, kill_guardian, STOP))
    assert saved.outcome is Outcome.INCONCLUSIVE
    assert saved.void is not None and saved.void["reason"]
    assert not list((own_folders / "state" / "journals").glob("*.json"))
