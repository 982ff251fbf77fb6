"""What may be predicted, and when a prediction was right."""

import pytest

from kafkaprep.engine.predict import _fits, parse_prediction
from kafkaprep.errors import UsageError


@pytest.mark.parametrize(
    ("value", "actual", "right"),
    [
        ("none", 0, True),
        ("none", 1, False),
        ("some", 0, False),
        ("some", 1, True),
        ("some", 10, False),
        ("all", 10, True),
        ("all", 9, False),
        ("7", 7, True),
        ("7", 8, False),
    ],
)
def test_fits(value: str, actual: int, right: bool) -> None:
    assert _fits(value, actual, planned=10) is right


@pytest.mark.parametrize("text", ["lost=some", "missing=100", "outcome=kept", "duplicated=none", "failed = all"])
def test_allowed(text: str) -> None:
    prediction = parse_prediction(text)
    assert (prediction.name, prediction.value) == tuple(part.strip() for part in text.split("="))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lots=some", "Did you mean lost?"),
        ("xyzzy=1", "Known: outcome"),
        ("lost=many", "none, some, all or a number"),
        ("lost", "none, some, all or a number"),
        ("lost=-1", "none, some, all or a number"),
        ("lost=²", "none, some, all or a number"),
        ("outcome=void", "kept or broken"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_prediction(text)
    assert caught.value.exit_code == 2
