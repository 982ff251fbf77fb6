"""Proves labs: `start` must break the promise, `solution` keep it, every time."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kafkaprep.engine.cluster.base import Cluster
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.prepare import check_capabilities
from kafkaprep.engine.run import run
from kafkaprep.engine.saved_run import SavedRun, open_run
from kafkaprep.model.lab import Kind, Lab
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Claim:
    """What a lab file claims of one choice of settings."""

    lab: Lab
    name: str  # start | solution | case N
    changes: Settings
    solution: bool
    outcome: Outcome


@dataclass(slots=True)
class Proof:
    """How the runs of one claim ended. A void run counts against it."""

    claim: Claim
    outcomes: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def agreeing(self) -> int:
        return self.outcomes.count(self.claim.outcome)

    @property
    def holds(self) -> bool:
        return self.agreeing == len(self.outcomes) > 0

    def as_dict(self) -> dict[str, object]:
        return {
            "lab": self.claim.lab.id,
            "settings": self.claim.name,
            "claimed": str(self.claim.outcome),
            "agreeing": self.agreeing,
            "runs": len(self.outcomes),
            "outcomes": self.outcomes,
            "median_s": round(statistics.median(self.seconds), 2) if self.seconds else None,
        }


def claims(lab: Lab) -> list[Claim]:
    """Every choice of settings a lab declares an outcome for."""
    if lab.kind is Kind.EXHIBIT:
        return [
            Claim(lab, f"case {number}", case.settings, False, case.outcome)
            for number, case in enumerate(lab.exhibit, start=1)
        ]
    return [
        Claim(lab, "start", Settings(), False, Outcome.BROKEN),
        Claim(lab, "solution", Settings(), True, Outcome.KEPT),
    ]


def prove(
    labs: Sequence[Lab],
    cluster: Cluster,
    repeat: int,
    stop: threading.Event,
    tell: Callable[[Proof, SavedRun], None],
) -> list[Proof]:
    """Run every claim of `labs` `repeat` times, shuffled, on one started cluster."""
    for lab in labs:
        check_capabilities(lab, cluster)
    proofs = [Proof(claim) for lab in labs for claim in claims(lab)]
    order = [proof for proof in proofs for _ in range(repeat)]
    random.shuffle(order)
    for proof in order:
        claim = proof.claim
        started = time.monotonic()
        saved = open_run(run(make_plan(claim.lab, claim.changes, solution=claim.solution), cluster, None, stop))
        proof.seconds.append(time.monotonic() - started)
        proof.outcomes.append("void" if saved.void is not None else str(saved.outcome))
        tell(proof, saved)
    return proofs
