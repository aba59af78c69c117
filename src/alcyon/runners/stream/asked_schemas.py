"""The schema registry as a runner asks it: that it is away is told from an outage of the broker."""

from __future__ import annotations

from alcyon.domain.errors import UnreachableError
from alcyon.domain.schemas import Schemas, UnknownSchemaError


class RegistryAwayError(UnreachableError):
    """The schema registry cannot say what a record was written with."""


class AskedSchemas(Schemas):
    """The schemas of a registry. schemas: None where none is named, and nothing is asked."""

    def __init__(self, schemas: Schemas | None) -> None:
        self._schemas, self._failed_id = schemas, 0

    def writer(self, schema_id: int) -> str:
        """As the registry's. RegistryAwayError for its UnreachableError."""
        assert self._schemas is not None
        try:
            return self._schemas.writer(schema_id)
        except UnreachableError as error:
            self._failed_id = schema_id
            raise RegistryAwayError(str(error)) from error

    def answers(self) -> bool:
        """Whether it says now what it could not say."""
        try:
            self.writer(self._failed_id)
        except RegistryAwayError:
            return False
        except UnknownSchemaError:
            pass
        return True
