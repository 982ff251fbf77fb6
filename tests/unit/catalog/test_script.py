"""The verb table, as engine and catalog use it."""

from __future__ import annotations

import pytest

from kafkaprep.model import script
from kafkaprep.model.lab import Capability, Place, Step


def step(verb: str, argument: str) -> Step:
    return Step(verb, argument, Place("x.yaml", 1, 1))


def test_every_form_has_itself_as_its_form() -> None:
    samples = {script.COUNT: "300", script.BROKER: "broker 2"}
    samples |= {f"consumer {point} <n>": f"consumer {point} 120" for point in script.CRASH_POINTS}
    for verb in script.VERBS.values():
        for form in verb.forms:
            assert script.form_of(verb.name, samples.get(form, form)) == form


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        ("send", "0"),
        ("send", "007"),
        ("send", "<count>"),
        ("send", "broker 1"),
        ("pause", "300"),
        ("pause", "producer"),
        ("kill", "broker 0"),
        ("kill", "broker 1 "),
        ("kill", "broker <id>"),
        ("explode", "leader"),
        ("await", ""),
        ("crash", "consumer"),
        ("crash", "consumer before_work"),
        ("crash", "consumer before_work 0"),
        ("crash", "consumer before_work <n>"),
        ("crash", "consumer in_work 3"),
        ("crash", "producer before_work 3"),
        ("kill", "consumer before_work 3"),
        ("start", "producer"),
    ],
)
def test_what_is_no_step(verb: str, argument: str) -> None:
    assert script.form_of(verb, argument) is None


def test_what_a_step_names() -> None:
    assert script.count_of(step("send", "300")) == 300 and script.count_of(step("send", "rest")) is None
    assert script.broker_of(step("kill", "broker 2")) == 2 and script.broker_of(step("kill", "leader")) is None
    assert script.capability_of(step("kill", "leader")) is Capability.KILL
    assert script.capability_of(step("kill", "producer")) is None
    assert script.capability_of(step("await", "new_leader")) is None
    assert script.capability_of(step("crash", "consumer after_work 3")) is None
    assert script.crash_point("crash", "consumer after_work 3") == ("after_work", 3)
    assert script.crash_point("kill", "consumer") is None


def test_each_process_of_the_consumer_has_its_own_crash_points() -> None:
    first, second = "consumer before_work 3", "consumer after_commit 5"
    assert script.crash_points([]) == [()]
    assert script.crash_points([("send", "9"), ("crash", first)]) == [(("before_work", 3),)]
    steps = [("crash", first), ("start", "consumer"), ("crash", second), ("start", "consumer")]
    assert script.crash_points(steps) == [(("before_work", 3),), (("after_commit", 5),), ()]


def test_rest_is_what_no_other_step_sends() -> None:
    steps = [step("send", "rest"), step("kill", "leader"), step("send", "100")]
    assert script.sends(steps, 1000) == (900, 100)
    assert script.sends(steps[1:], 1000) == (100,)
    with pytest.raises(ValueError, match="100 messages of 50"):
        script.sends(steps, 50)
    with pytest.raises(ValueError, match="more than once"):
        script.sends([*steps, step("send", "rest")], 1000)
