"""Reads a strategy's answer to a request for a refill, independent of the transport."""

import json

from pydantic import ValidationError

from reservd.errors import DeliveryError, FailureReason
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus


def read_acceptance(answer: bytes) -> Acceptance:
    """Return a strategy's answer in JSON, for replenishers that receive it as text.

    Args:
        answer: A JSON object with the fields of `Acceptance`. Null fields count as missing. An empty answer means
            `pending`.

    Raises:
        DeliveryError: If it is anything else. Retryable: the strategy may have acted, and knows the request by its id.
    """
    if not answer.strip():
        return Acceptance(status=AcceptanceStatus.PENDING)
    try:
        content = json.loads(answer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DeliveryError(FailureReason.INVALID_DATA, "the answer must be a JSON object")
    try:
        return Acceptance.model_validate({name: value for name, value in content.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DeliveryError(FailureReason.INVALID_DATA, f"the answer's {where}: {first['msg']}") from None


def _refuse(constant: str) -> None:
    """Refuse NaN and the infinities, which are not JSON."""
    raise ValueError(constant)
