"""Runs other implementations through the oracle: writes ledger.json, what each does, and the table of the book.

    cargo xtask ledger            rewrites both
    cargo xtask ledger --check    fails if a live run differs from them

A case that fails must be explained by an entry of `explanations.py`; one that is not explained is an error here, too.
"""

import argparse
import json
import math
import os
import statistics
import sys
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import explanations
import jax.numpy as jnp
import lowrank_oracle
import mlx.core as mx
import numpy as np
import others
import rust
import torch
from lowrank_oracle.suites import on_peft

HERE = Path(__file__).resolve().parent
f64, f32, bf16 = torch.float64, torch.float32, torch.bfloat16
LAYER = ("forward", "backward")


def given(run, *arguments, **options):
    return lambda case: run(case, *arguments, **options)


# What ran, the package of its version, type, methods and ops, and the call that gives out.* of a case.
ROWS = [
    *[
        (f"PEFT {what}", "peft", name, methods, ops, given(run, dtype, **options))
        for dtype, name, options in [
            (f64, "f64", {}),
            (f32, "f32", {}),
            (bf16, "bf16, f32 adapters (default)", {}),
            (bf16, "bf16, bf16 adapters", {"autocast": False}),
        ]
        for what, methods, ops, run in [
            ("LoRA", ["lora", "lora-fa"], LAYER, on_peft.backward),
            ("LoRA", ["lora"], ("merge", "unmerge"), on_peft.merge),
            ("VeRA", ["vera"], LAYER, on_peft.backward),
            ("VeRA", ["vera"], ("merge", "unmerge"), on_peft.merge),
            ("DoRA", ["dora"], LAYER, on_peft.backward),
            ("DoRA", ["dora"], ("merge",), on_peft.merge),
        ]
    ],
    *[
        (what, package, name, methods, ("step",), given(run, dtype))
        for dtype, name in [(f64, "f64"), (f32, "f32"), (bf16, "bf16")]
        for what, package, methods, run in [
            ("torch.optim", "torch", ["lora", "vera", "lora-fa", "dora"], on_peft.torch_step),
            ("PEFT create_loraplus_optimizer", "peft", ["lora-plus"], on_peft.plus_step),
            ("PEFT create_lorafa_optimizer", "peft", ["lora-fa"], on_peft.fa_step),
        ]
    ],
    *[
        (what, what, name, ["lora"], ops, given(run, dtype))
        for dtype, name in [(f64, "f64"), (f32, "f32"), (bf16, "bf16")]
        for what, ops, run in [
            ("loralib", ("backward",), others.loralib_backward),
            ("loralib", ("merge", "unmerge"), others.loralib_merge),
            ("keras", ("backward",), others.keras_backward),
        ]
    ],
    ("flax nnx.LoRA", "flax", "f32", ["lora"], ("backward",), given(others.flax_backward, jnp.float32)),
    (
        "flax nnx.LoRA, times s by the caller",
        "flax",
        "f32",
        ["lora"],
        ("backward",),
        given(others.flax_backward, jnp.float32, scaled=True),
    ),
    ("peft-rs", "peft-rs", "f32", ["lora"], (*LAYER, "merge", "unmerge"), rust.outputs),
    ("peft-rs VeRA", "peft-rs", "f32", ["vera"], ("forward", "merge", "unmerge"), rust.outputs),
    ("mlx-lm", "mlx-lm", "f32", ["lora"], ("backward",), given(others.mlx_backward, mx.float32)),
    ("mlx-lm", "mlx-lm", "bf16", ["lora"], ("backward",), given(others.mlx_backward, mx.bfloat16)),
]


def judge(case, run):
    """PASS, FAIL, NOT_RUN or None (cannot be said), and what the oracle found."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outputs = run(case)
    except Exception as error:
        return "FAIL", [{"tensor": "error", "rho": "inf", "hypothesis": None, "note": f"{type(error).__name__}: {error}"}]
    if outputs is None:
        return None, []
    try:
        return case.check(outputs), []
    except lowrank_oracle.Mismatch as mismatch:
        return "FAIL", [finding for finding in mismatch.findings if finding["verdict"] == "FAIL"]


def shown(rho):
    """To two digits; None is infinity, which JSON does not have."""
    return float(f"{rho:.1e}") if math.isfinite(rho) else None


def entry_of(what, package, dtype, methods, ops, run, unexplained):
    counts, deviations = Counter(), {}
    number = rust.VERSION if package == "peft-rs" else version(package)
    for id in lowrank_oracle.ids(methods, ops):
        case = lowrank_oracle.load(id)
        verdict, findings = judge(case, run)
        counts[verdict or "cannot be said"] += 1
        if verdict != "FAIL":
            continue
        key = explanations.of(what, dtype, case, findings)
        if key is None:
            unexplained.append((what, dtype, case.id, findings))
            continue
        row = deviations.setdefault(key, {"cases": 0, "confirmed": 0, "tensors": set(), "rhos": []})
        row["cases"] += 1
        row["confirmed"] += explanations.confirmed(key, case, run, findings)
        row["tensors"].add(findings[0]["tensor"])
        row["rhos"].append(max(float(finding["rho"]) for finding in findings))
    found = [
        {
            "explanation": key,
            "cases": row["cases"],
            "confirmed": row["confirmed"],
            "tensors": sorted(row["tensors"]),
            "median_rho": shown(statistics.median(row["rhos"])),
            "infinite_rho": sum(map(math.isinf, row["rhos"])),
        }  # fmt: skip
        for key, row in sorted(deviations.items())
    ]
    return {
        "what": what, "package": package, "version": number, "type": dtype, "methods": methods, "ops": list(ops),
        "passed": counts["PASS"], "failed": counts["FAIL"], "no verdict": counts["NOT_RUN"],
        "cannot be said": counts["cannot be said"], "deviations": found,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", default="", help="only rows whose name has this; nothing is written")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    entries, unexplained = [], []
    for row in ROWS:
        if arguments.only in row[0]:
            entries.append(entry_of(*row, unexplained))
            last = entries[-1]
            print(f"{row[0]:<32} {row[2]:<30} {'/'.join(row[4]):<18} {last['passed']:>5} {last['failed']:>5}", flush=True)
    for what, dtype, id, findings in unexplained:
        first = findings[0]
        print(f"UNEXPLAINED {what} {dtype} {id}: {first['tensor']} rho {first['rho']} {first['hypothesis']} {first['note']}")
    if unexplained:
        sys.exit(1)
    if arguments.only:
        return
    texts = {
        HERE / "ledger.json": json.dumps(entries, indent=1, ensure_ascii=False) + "\n",
        HERE / "ledger.md": explanations.table(entries),
    }
    stale = [path.name for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if arguments.check and stale:
        sys.exit(f"a live run differs from {', '.join(stale)} ---> HINT: `cargo xtask ledger` rewrites them")
    for path, text in texts.items():
        if path.name in stale:
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
            print(f"wrote tests/ledger/{path.name}")


if __name__ == "__main__":
    main()
