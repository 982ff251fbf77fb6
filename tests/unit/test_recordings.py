"""The recorded runs that come with kafkaprep: one of each claim, judged again to what the lab claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaprep import paths
from kafkaprep.catalog.labs import load_labs
from kafkaprep.engine.prove import Claim, claims
from kafkaprep.engine.recording import SUFFIX, label, opened
from kafkaprep.model.lab import Lab

LABS = [lab for lab in load_labs(paths.labs()).values() if isinstance(lab, Lab)]
CLAIMS = [claim for lab in LABS for claim in claims(lab)]


def file_of(claim: Claim) -> Path:
    return paths.recordings() / f"{claim.lab.id}.{claim.name.replace(' ', '-')}{SUFFIX}"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.lab.id} {claim.name}")
def test_a_recorded_run_is_judged_as_claimed(claim: Claim) -> None:
    with opened(file_of(claim)) as saved:
        assert saved.plan["lab"] == claim.lab.id
        assert saved.void is None and saved.outcome is claim.outcome
        assert saved.settings == claim.lab.settings(claim.changes, solution=claim.solution), "run `make record`"
        assert [tuple(step) for step in saved.plan["steps"]] == [
            (step.verb, step.argument) for step in claim.lab.script
        ], "run `make record`"
        assert str(label(saved)).startswith("RECORDED 20")
        assert sum(saved.verdict.fates.values()) == saved.verdict.counts["planned"]


def test_there_is_no_recording_of_nothing() -> None:
    assert set(paths.recordings().iterdir()) == {file_of(claim) for claim in CLAIMS}
