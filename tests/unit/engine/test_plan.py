"""A plan fixes everything beforehand, and refuses traffic that the script cannot be played with."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saved_runs import acks_zero

from kafkaprep.engine.plan import MESSAGES_LIMIT, assignment, make_plan, save_plan
from kafkaprep.errors import UsageError
from kafkaprep.model.lab import ClusterShape
from kafkaprep.model.settings import Scope, Settings

NOTHING = Settings()
FEWEST = 400  # acks-zero sends 300 and then 100 by number


def test_a_plan_follows_the_lab_and_the_changes() -> None:
    lab = acks_zero()
    plan = make_plan(lab, Settings({Scope.PRODUCER: {"acks": "1"}}), seed=7)
    assert plan.settings[Scope.PRODUCER]["acks"] == "1"
    assert plan.settings[Scope.PRODUCER]["socket.timeout.ms"] == lab.start[Scope.PRODUCER]["socket.timeout.ms"]
    assert (plan.messages, plan.keys, plan.seed) == (1000, 8, 7)
    assert plan.steps == tuple((step.verb, step.argument) for step in lab.script)
    assert plan.topic == plan.group == f"kafkaprep-acks-zero-{plan.nonce}"
    assert bytes.fromhex(plan.nonce) and len(plan.nonce) == 16
    assert not plan.compacted


def test_the_solution_lies_over_the_start_and_the_changes_over_both() -> None:
    plan = make_plan(acks_zero(), Settings({Scope.PRODUCER: {"retries": "5"}}), solution=True)
    assert (plan.settings[Scope.PRODUCER]["acks"], plan.settings[Scope.PRODUCER]["retries"]) == ("all", "5")


def test_two_plans_never_share_a_nonce() -> None:
    assert len({make_plan(acks_zero(), NOTHING).nonce for _ in range(50)}) == 50


def test_a_compacted_topic_is_flagged() -> None:
    changes = Settings({Scope.TOPIC: {"cleanup.policy": "compact,delete"}})
    assert make_plan(acks_zero(), changes).compacted


@pytest.mark.parametrize("messages", [FEWEST, 5000, MESSAGES_LIMIT])
def test_the_traffic_can_be_scaled(messages: int) -> None:
    assert make_plan(acks_zero(), NOTHING, messages=messages).messages == messages


@pytest.mark.parametrize("messages", [-1, 0, FEWEST - 1, MESSAGES_LIMIT + 1])
def test_traffic_out_of_range_is_refused_with_the_range(messages: int) -> None:
    with pytest.raises(UsageError, match="out of range") as caught:
        make_plan(acks_zero(), NOTHING, messages=messages)
    assert caught.value.way_out == f"Lab acks-zero takes {FEWEST} to {MESSAGES_LIMIT} messages."


@given(st.integers(0, 2**31), st.integers(1, 24), st.integers(1, 3))
def test_leaders_are_spread_and_the_last_broker_leads_nothing(seed: int, partitions: int, replication: int) -> None:
    lab = replace(acks_zero(), cluster=ClusterShape(3, partitions, replication))
    plan = make_plan(lab, NOTHING, seed=seed)
    rows = assignment(plan, (1, 2, 3))
    assert len(rows) == partitions
    assert all(len(row) == len(set(row)) == replication and set(row) <= {1, 2, 3} for row in rows)
    leaders = Counter(row[0] for row in rows)
    assert 3 not in leaders
    assert max(leaders.values()) - min(leaders.get(1, 0), leaders.get(2, 0)) <= 1
    assert rows == assignment(plan, (1, 2, 3))


def test_the_seed_decides_who_leads() -> None:
    firsts = {assignment(make_plan(acks_zero(), NOTHING, seed=seed), (1, 2, 3))[0][0] for seed in range(20)}
    assert firsts == {1, 2}


def test_a_single_broker_leads_alone() -> None:
    lab = replace(acks_zero(), cluster=ClusterShape(1, 2, 1))
    assert assignment(make_plan(lab, NOTHING), (1,)) == [[1], [1]]


def test_the_saved_plan_is_all_of_it(tmp_path: Path) -> None:
    plan = make_plan(acks_zero(), NOTHING)
    save_plan(plan, tmp_path)
    saved = json.loads((tmp_path / "plan.json").read_text())
    assert saved == json.loads(json.dumps(plan.as_dict()))
    assert saved["format"] == 1
