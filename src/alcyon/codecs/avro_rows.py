"""Avro payloads to raw columns: decoded and well-formed, not yet validated.

A payload is in a registry's wire format: byte 0, four bytes of schema id, the body. Payloads of
one id are decoded together, by one compiled pass.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alcyon.codecs.avro_writing import HEADER_BYTES, Plan
from alcyon.codecs.json_rows import fault
from alcyon.domain.columns import Batch
from alcyon.domain.errors import InputError, UnreachableError
from alcyon.domain.schemas import SCHEMA_ID_MAX, Schemas, UnknownSchemaError
from alcyon.domain.validation import Fault

if TYPE_CHECKING:
    from alcyon.codecs.avro_bodies import Bodies
    from alcyon.codecs.avro_schema import WriterSchema

UNKNOWN_SCHEMA = "unknown_schema"
"""The one reason that depends on when a record was read: see `AvroRows.decode`."""

_Why = tuple[str, str]
"""Reason code and one line."""


class Part(NamedTuple):
    """Records that decoded, and the payload each came from, rising."""

    batch: Batch
    rows: NDArray[np.int64]


class AvroRows:
    """Turns Avro payloads of any writer's schema into the columns of one plan."""

    def __init__(self, plan: Plan, payload_bytes_max: int, schemas: Schemas | None) -> None:
        self._payload_bytes_max = payload_bytes_max
        self._schemas = schemas
        self._bodies = None if schemas is None else _bodies(plan)
        self._compiled: dict[int, WriterSchema | _Why] = {}

    def decode(
        self, payloads: Mapping[int, bytes], refused: Collection[int] | None
    ) -> tuple[list[Part], list[Fault]]:
        """(the records that decode, a part per schema; why each other payload was refused).

        payloads: by row, rising, each beginning with byte 0. refused: see
        `MixedTransactionDecoder.decode`. UnreachableError: a schema cannot be had now.
        """
        dead: dict[int, _Why] = {}
        by_header: dict[bytes, list[int]] = {}
        for row, payload in payloads.items():
            if len(payload) > self._payload_bytes_max:
                detail = f"{len(payload)} bytes, more than {self._payload_bytes_max}"
                dead[row] = "payload_too_large", detail
            elif len(payload) < HEADER_BYTES:
                dead[row] = "invalid_avro", f"{len(payload)} bytes hold no schema id"
            elif refused and row in refused:
                dead[row] = UNKNOWN_SCHEMA, "it was a dead letter when it was first read"
            else:
                by_header.setdefault(payload[:HEADER_BYTES], []).append(row)
        parts = []
        for header, rows in by_header.items():
            schema = self._schema(int.from_bytes(header[1:]), refused is not None)
            if isinstance(schema, tuple):
                dead |= dict.fromkeys(rows, schema)
                continue
            assert self._bodies is not None
            bodies = [payloads[row] for row in rows]
            batch, good, faults = self._bodies.decode(schema, bodies)
            dead |= {rows[at]: why for at, why in faults.items()}
            parts.append(Part(batch, np.array(rows, np.int64)[good]))
        return parts, [fault(row, *dead[row]) for row in sorted(dead)]

    def _schema(self, schema_id: int, is_history: bool) -> WriterSchema | _Why:
        if schema_id not in self._compiled:
            try:
                self._compiled[schema_id] = self._fetched(schema_id)
            except UnknownSchemaError as error:  # not kept: it may be registered later
                if is_history:
                    raise UnreachableError(
                        f"a record was read with schema {schema_id}, which is not to be had now "
                        f"({error}): restore the registry or its cache, or see registry.url"
                    ) from error
                return UNKNOWN_SCHEMA, str(error)
        return self._compiled[schema_id]

    def _fetched(self, schema_id: int) -> WriterSchema | _Why:
        if self._schemas is None or self._bodies is None:
            raise UnknownSchemaError("an Avro record, and no schema registry: set registry.url")
        if schema_id > SCHEMA_ID_MAX:
            raise UnknownSchemaError(f"schema {schema_id} is nobody's: ids have 31 bits")
        try:
            return self._bodies.schema(self._schemas.writer(schema_id))
        except UnknownSchemaError:
            raise
        except InputError as error:
            return "schema_mismatch", f"schema {schema_id} {error}"


def _bodies(plan: Plan) -> Bodies:
    """Imported here: who reads no Avro does not wait for its compiled code."""
    from alcyon.codecs.avro_bodies import Bodies

    return Bodies(plan)
