"""The API keeps to its own description, whatever it is asked: over `alcyon serve`, as an admin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from alcyon.api.app import description
from alcyon.domain.office.access import Role
from tests.card_models import card_models
from tests.whole import Whole, burst, decided, stored, whole

EXAMPLES = 12
"""Of each operation, the same ones at each run."""
SCHEMA = schemathesis.openapi.from_dict(json.loads(description()))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """With some payments, so that there is something to find."""
    with whole(tmp_path_factory.mktemp("home"), card_models()[0]) as made:
        decided(made.program(Role.INGEST), *burst("c1"))
        stored(made.program(Role.VIEWER), "/v1/decisions/c1-5")
        yield made


@pytest.fixture(scope="module")
def admins_key(served: Whole) -> str:
    return served.key(Role.ADMIN)


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
    phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_nothing_fails_and_answers_are_as_described(
    case: Any, served: Whole, admins_key: str
) -> None:
    case.call_and_validate(
        base_url=served.address,
        headers={"X-API-Key": admins_key},
        checks=[not_a_server_error, response_schema_conformance, content_type_conformance],
    )
