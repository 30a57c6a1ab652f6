"""PEFT's LoRA, VeRA, LoRA+ and LoRA-FA through all cases that can be said in its interface: one line for a CI.

    pytest --pyargs lowrank_oracle.suites.peft

It needs torch and peft, and judges the versions that are installed. A case that PEFT has no words for is skipped.
"""

import pytest
import torch

import lowrank_oracle

from . import on_peft

torch.set_num_threads(1)  # the layers are small: threads cost more than they save

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
in_each_type = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def judge(case, run, dtype):
    outputs = run(case, dtype)
    if outputs is None:
        pytest.skip("PEFT has no words for this case")
    case.check(outputs)


@in_each_type
@lowrank_oracle.cases(["lora", "lora-fa", "vera"], ["forward", "backward"])
def test_passes(case, dtype):
    judge(case, on_peft.backward, dtype)


@in_each_type
@lowrank_oracle.cases(["lora", "vera"], ["merge", "unmerge"])
def test_merges(case, dtype):
    judge(case, on_peft.merge, dtype)


@in_each_type
@lowrank_oracle.cases("lora-plus", "step")
def test_lora_plus(case, dtype):
    judge(case, on_peft.plus_step, dtype)


# It adds 1e-8 to the diagonal of A Aᵀ, and multiplies in bfloat16 whatever the type.
differs = pytest.mark.xfail(raises=lowrank_oracle.Mismatch, strict=True, reason="a ridge term; multiplies in bfloat16")


@pytest.mark.parametrize("dtype", [*(pytest.param(d, marks=differs) for d in DTYPES[:2]), DTYPES[2]], ids=str)
@lowrank_oracle.cases("lora-fa", "step", only="Projected")
def test_lora_fa(case, dtype):
    judge(case, on_peft.fa_step, dtype)
