"""The answer of a strategy in JSON, as every replenisher reads it."""

from datetime import UTC, datetime

import pytest

from reservd.plugin import Acceptance, AcceptanceStatus, DeliveryError, FailureReason, read_acceptance


@pytest.mark.parametrize("answer", [b"", b" \n"])
def test_strategy_has_yet_to_decide_when_the_answer_is_empty(answer: bytes) -> None:
    assert read_acceptance(answer) == Acceptance(status=AcceptanceStatus.PENDING)


def test_answer_is_read_with_all_that_it_says() -> None:
    answer = b'{"status": "accepted", "reference": "u-7", "reason": null, "expected_by": "2030-01-02T03:04:05Z"}'
    assert read_acceptance(answer) == Acceptance(
        status=AcceptanceStatus.ACCEPTED, reference="u-7", expected_by=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"ok", "the answer must be a JSON object"),
        (b"[]", "the answer must be a JSON object"),
        (b"\xff", "the answer must be a JSON object"),
        (b"[" * 100_000, "the answer must be a JSON object"),
        (b'{"status": "accepted", "eta": NaN}', "the answer must be a JSON object"),
        (b"{}", "the answer's status: Field required"),
        (b'{"status": "perhaps"}', "the answer's status: Input should be 'accepted', 'rejected' or 'pending'"),
    ],
)
def test_answer_may_be_asked_for_again_when_it_cannot_be_read(answer: bytes, detail: str) -> None:
    with pytest.raises(DeliveryError) as failure:
        read_acceptance(answer)
    assert (failure.value.reason, failure.value.retryable) == (FailureReason.INVALID_DATA, True)
    assert failure.value.detail == detail
