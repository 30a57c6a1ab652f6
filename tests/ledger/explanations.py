"""Why cases fail, each with what confirms it, and the table of the book."""

from collections import defaultdict
from unittest import mock

import jax.numpy as jnp
import lowrank_oracle
import numpy as np
import others
import torch

# Class, and one sentence: what it does, and what the paper or the contract says.
TEXTS = {
    "keras-f32": (
        "precision",
        "`Dense.enable_lora` makes A and B float32 whatever the layer's type, and on torch Keras' matmul of two float64 "
        "matrices is float32: a float64 layer has float32 results",
    ),
    "keras-bf16": (
        "precision",
        "the layer multiplies out W + s B A and computes in bf16, but hands out gradients of A and B as float32: they "
        "carry the rounding of bf16",
    ),
    "flax-no-alpha": ("convention", "`nnx.LoRA` has no α: it computes x Wᵀ + B A x, s = 1. The paper has s = α/r"),
    "lorafa-ridge": (
        "convention",
        "adds 1e-8 to the diagonal of A Aᵀ before it inverts; the projection of the paper has no such term",
    ),
    "lorafa-autocast": (
        "precision",
        "multiplies by (A Aᵀ)⁻¹ under bf16 autocast, also when all tensors are float32",
    ),
    "dora-base": (
        "precision",
        "without dropout ∂L/∂m comes from the frozen layer's own output, which is bf16, and is handed out as float32",
    ),
    "peft-rs-vera": (
        "bug",
        "B is zero, cannot be set and is not trained, and there is no λ_b: ΔW is 0 for ever. In the paper B is random and "
        "λ_b is trained",
    ),
    "candle-no-tokens": (
        "convention",
        "with no tokens candle gives A and B no gradient; the sum over no tokens is 0",
    ),
}


def of(what, dtype, case, findings):
    """The key of the explanation of a failure, or None."""
    if what == "keras" and findings[0]["tensor"] != "error":
        return {"f64": "keras-f32", "bf16": "keras-bf16"}.get(dtype)
    if what == "flax nnx.LoRA" and findings[0]["tensor"] != "error":
        return "flax-no-alpha"
    if what == "PEFT DoRA" and dtype == "bf16, f32 adapters (default)":
        return "dora-base" if findings[0]["tensor"] == "grad_lora_magnitude_vector" else None
    if what == "PEFT create_lorafa_optimizer":
        return {"f64": "lorafa-ridge", "f32": "lorafa-autocast"}.get(dtype)
    if what == "peft-rs VeRA":
        return "peft-rs-vera"
    if what == "peft-rs" and "NoTokens" in case.flags and findings[0]["note"] == "is missing":
        return "candle-no-tokens"
    return None


def confirmed(key, case, run, findings):
    """Does the case pass once the explanation is taken away? 1 or 0."""
    if key == "candle-no-tokens":
        return int(case.x.size == 0)
    case = lowrank_oracle.load(case.id)  # torch may have written into the arrays of the first run
    profile = {"keras-f32": "f32", "keras-bf16": "bf16", "lorafa-autocast": "bf16", "dora-base": "bf16"}.get(key)
    try:
        if key == "flax-no-alpha":
            outputs = others.flax_backward(case, jnp.float32, scaled=True)
        elif key == "peft-rs-vera":
            outputs = with_low_rank_term(case, run(case))
        elif key == "lorafa-ridge":
            with mock.patch.object(torch, "eye", lambda n: torch.zeros(n, n)):
                outputs = run(case)
        else:
            outputs = run(case)
        return int(case.check(outputs, profile=profile) == "PASS")
    except lowrank_oracle.Mismatch:
        return 0


def with_low_rank_term(case, outputs):
    """What peft-rs gives for VeRA, and what it leaves out: b ⊙ B d ⊙ A, in float64."""
    out, inputs = case.weight.shape
    d, b = case.vera_lambda_d, case.vera_lambda_b
    delta = b[:, None] * (case.vera_B[:out] @ (d[:, None] * case.vera_A[:, :inputs]))
    if case.op == "forward":
        return {"y": (outputs["y"] + case.x @ delta.T).astype(np.float32)}
    return {"weight": (outputs["weight"] + (delta if case.op == "merge" else -delta)).astype(np.float32)}


HOW = {
    "keras-f32": "pass at the bound of f32",
    "keras-bf16": "pass at the bound of bf16",
    "flax-no-alpha": "pass when the caller multiplies by s",
    "lorafa-ridge": "pass without it",
    "lorafa-autocast": "pass at the bound of bf16",
    "dora-base": "pass at the bound of bf16; where W nearly cancels s B A it says nothing",
    "peft-rs-vera": "pass once the low-rank term is added",
    "candle-no-tokens": "have no tokens",
}


def table(entries):
    """Markdown: a row for each implementation and type, then the deviations."""
    groups = defaultdict(list)
    for entry in entries:
        groups[entry["what"], entry["version"], entry["type"]].append(entry)
    lines = ["| implementation | type | ops | passed | failed | cannot be said | why |", "|---|---|---|--:|--:|--:|---|"]
    notes = {}
    for (what, version, dtype), group in sorted(groups.items(), key=lambda item: item[0][0].lower()):
        ops = ", ".join(dict.fromkeys(op for entry in group for op in entry["ops"]))
        count = {key: sum(entry[key] for entry in group) for key in ("passed", "failed", "cannot be said")}
        marks = []
        for deviation in (d for entry in group for d in entry["deviations"]):
            key = deviation["explanation"]
            number = notes.setdefault(key, [len(notes) + 1, []])[0]
            notes[key][1].append((what, version, dtype, deviation))
            marks.append(f"{TEXTS[key][0]} {number}")
        columns = [f"{what} {version}", dtype, ops, *(f"{n:,}" for n in count.values()), ", ".join(dict.fromkeys(marks))]
        lines.append("| " + " | ".join(columns) + " |")
    lines.append("| lowrank on a GPU | f64, f32, tf32, bf16 | all | NOT RUN | | | no GPU has been at hand |")
    lines.append("")
    for key, (number, found) in notes.items():
        cases = sum(deviation["cases"] for *_, deviation in found)
        good = sum(deviation["confirmed"] for *_, deviation in found)
        (rho,) = {deviation["median_rho"] for *_, deviation in found}
        kind, text = TEXTS[key]
        lines.append(
            f"{number}. *{kind}*, {found[0][0]}: {text}. The median of ρ is {'∞' if rho is None else f'{rho:.0e}'}; {good} of the {cases} {HOW[key]}."
        )
    return "\n".join(lines) + "\n"
