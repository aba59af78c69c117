"""Programs: expressions compiled together to instructions for the register machine.

Common parts are computed once, constant parts when compiling, and registers are reused.

>>> from alcyon.features.expression import Kind, parse
>>> scope = {"amount_minor": Kind.NUMBER, "country": Kind.STRING}
>>> texts = ("amount_minor / 100", "country = 'DE' AND amount_minor / 100 > 5")
>>> program = Program.compile([parse(t, scope) for t in texts], ["amount_minor", "country"])
>>> program.strings
('DE',)
>>> inputs = np.array([[400.0, 600.0, np.nan], [7.0, 7.0, 7.0]])  # 'DE' has the code 7
>>> program.run(inputs, np.array([7.0]))
array([[ 4.,  6., nan],
       [ 0.,  1., nan]])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import ExpressionError
from alcyon.features.interpreter import Floats, Op, runner
from alcyon.features.lowering import Lowering, Value
from alcyon.features.tree import Expr


@dataclass(frozen=True, eq=False)
class Program:
    """Expressions over the columns `inputs`, ready to run."""

    inputs: tuple[str, ...]
    needs: tuple[str, ...]
    """Those of `inputs` that are really read, in that order."""
    strings: tuple[str, ...]
    """String literals, in the order in which `run` wants their codes."""
    outputs: int
    registers: int
    code: NDArray[np.int32]
    constants: Floats

    @classmethod
    def compile(cls, outputs: Sequence[Expr], inputs: Sequence[str]) -> Program:
        """One program for all `outputs`; ExpressionError if one uses a column not in `inputs`."""
        missing = sorted(frozenset().union(*(e.columns for e in outputs)) - set(inputs))
        if missing:
            raise ExpressionError(f"column `{missing[0]}` is not an input: give it to the program")
        lowering = Lowering({name: i for i, name in enumerate(inputs)}, _evaluated)
        results = [lowering.lower(e) for e in outputs]
        assembly = _Assembly(lowering.values, results)
        code = np.array(assembly.code, np.int32).reshape(-1, 5)
        read = set(code[code[:, 0] == Op.INPUT, 2].tolist())
        return cls(
            tuple(inputs),
            tuple(name for i, name in enumerate(inputs) if i in read),
            tuple(lowering.strings),
            len(outputs),
            assembly.registers,
            code,
            np.array(assembly.constants, np.float64),
        )

    def run(self, inputs: Floats, literals: Floats, out: Floats | None = None) -> Floats:
        """Evaluate all outputs for all rows: float64[k, n] -> float64[m, n].

        inputs: one row per name in `self.inputs`; rows not in `needs` are never read. Null is
        NaN (infinity too), booleans are 0 or 1, strings codes >= 0, equal if and only if the
        strings are. literals: float64[len(strings)], the codes of `strings`, -1 for one that no
        input holds. A string output is such a code too; -1 - i stands for `strings[i]`.
        out: float64[m, n] to write to. Raises ValueError if a shape does not fit.
        """
        n = inputs.shape[1]
        if out is None:
            out = np.empty((self.outputs, n))
        if len(inputs) != len(self.inputs) or out.shape != (self.outputs, n):
            raise ValueError(
                f"inputs {inputs.shape} and out {out.shape} do not fit a program of "
                f"{len(self.inputs)} inputs and {self.outputs} outputs"
            )
        if len(literals) != len(self.strings):
            raise ValueError(f"{len(literals)} literals for {len(self.strings)} strings")
        runner()(self.code, self.constants, literals, inputs, out, self.registers)
        return out


class _Assembly:
    """Instructions from values: dead ones dropped, registers given by a linear scan."""

    def __init__(self, values: Sequence[Value], results: Sequence[int]) -> None:
        self.code: list[tuple[int, int, int, int, int]] = []
        self.constants: list[float] = []
        self.registers = 0
        self._values = values
        self._constant_rows: dict[str, int] = {}
        self._free: list[int] = []
        self._register: dict[int, int] = {}
        self._uses = self._counted(results)
        wanted: dict[int, list[int]] = {}
        for row, result in enumerate(results):
            wanted.setdefault(result, []).append(row)
        for index, value in enumerate(values):
            if self._uses[index] and value.op is not Op.CONSTANT:
                self._emit(index, value)
            for row in wanted.get(index, ()):
                self._store(index, row)

    def _counted(self, results: Sequence[int]) -> list[int]:
        uses = [0] * len(self._values)
        for result in results:
            uses[result] += 1
        for index in reversed(range(len(uses))):  # arguments come before what uses them
            if uses[index]:
                for argument in self._values[index].args:
                    uses[argument] += 1
        return uses

    def _emit(self, index: int, value: Value) -> None:
        if not value.args:
            self._register[index] = to = self._take()
            self.code.append((value.op, to, value.row, 0, 0))
            return
        operands = [self._operand(a) for a in value.args]
        # Taken before the operands are released: an instruction never writes what it reads, so
        # its loop can be vectorised.
        self._register[index] = to = self._take()
        a, b, c = (*operands, operands[0], operands[0])[:3]
        self.code.append((value.op, to, a, b, c))
        for argument, register in zip(value.args, operands, strict=True):
            self._release(argument, register)

    def _store(self, index: int, row: int) -> None:
        register = self._operand(index)
        self.code.append((Op.OUTPUT, row, register, 0, 0))
        self._release(index, register)

    def _operand(self, index: int) -> int:
        """The register that holds a value; a constant is put into one for each use."""
        value = self._values[index]
        if value.op is not Op.CONSTANT:
            return self._register[index]
        key = value.constant.hex()
        if key not in self._constant_rows:
            self._constant_rows[key] = len(self.constants)
            self.constants.append(value.constant)
        register = self._take()
        self.code.append((Op.CONSTANT, register, self._constant_rows[key], 0, 0))
        return register

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        self.registers += 1
        return self.registers - 1

    def _release(self, index: int, register: int) -> None:
        self._uses[index] -= 1
        if self._values[index].op is Op.CONSTANT or not self._uses[index]:
            self._free.append(register)


def _evaluated(op: Op, constants: Sequence[float]) -> float:
    """One operation on constants, by the machine itself, so that folding changes no bit."""
    values = [Value(Op.CONSTANT, constant=c) for c in constants]
    assembly = _Assembly([*values, Value(op, tuple(range(len(values))))], [len(values)])
    code, held = np.array(assembly.code, np.int32), np.array(assembly.constants, np.float64)
    out = np.full((1, 1), math.nan)
    runner()(code, held, np.empty(0), np.empty((0, 1)), out, assembly.registers)
    return float(out[0, 0])
