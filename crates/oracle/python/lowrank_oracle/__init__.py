"""Judge an implementation of LoRA, LoRA-FA, VeRA, Delta-LoRA or LoRA+.

    import lowrank_oracle

    @lowrank_oracle.cases("lora", op="backward")
    def test_backward(case):
        y, grad_x, grad_a, grad_b = mine(case.x, case.weight, case.lora_A, case.lora_B, case.grad_y, case.params)
        case.check(y=y, grad_x=grad_x, grad_lora_A=grad_a, grad_lora_B=grad_b)

The expected values and the bounds come with the wheel, in `VECTORS`; its README says what each op computes. Every verdict
comes from the program `lowrank`, in the wheel too. Arrays may be of NumPy, torch, JAX or MLX.
"""

from ._case import Case, Mismatch
from ._cases import KINDS, METHODS, OPS, VECTORS, cases, expected_failures, ids, load
from ._program import OracleError, program
from ._record import record

__all__ = [
    "KINDS",
    "METHODS",
    "OPS",
    "VECTORS",
    "Case",
    "Mismatch",
    "OracleError",
    "cases",
    "expected_failures",
    "ids",
    "load",
    "program",
    "record",
]
