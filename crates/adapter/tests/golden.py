"""Cross-entropy and AdamW from their formulas in 50 digits, schedules from transformers: writes golden.json beside it.

    python crates/adapter/tests/golden.py        (needs mpmath, torch, transformers)

torch.optim.AdamW runs beside the formula and must agree with it. The other AdamW no longer exists in transformers; PEFT's
copy of it is compared in tests/golden/lora_f64.json.
"""

import json
from pathlib import Path

import torch
import transformers
from mpmath import exp, log, mp, mpf, sqrt

mp.dps = 50

LOGITS = [
    ([0.0, 0.0, 0.0], 1),
    ([1.5, -2.25, 0.375, 4.0], 2),
    ([1e4, -1e4, 9999.0], 0),
    ([1e4, -1e4, 9999.0], 2),
    ([-700.0, 700.0], 0),
    ([1e4 + 0.25, 1e4, 1e4 - 0.5], 1),
    ([3.5], 0),
    ([1e-9, 2e-9, -3e-9], 0),
]


def cross_entropy(logits, target):
    total = sum(exp(mpf(logit)) for logit in logits)
    softmax = [exp(mpf(logit)) / total for logit in logits]
    loss = log(total) - mpf(logits[target])
    return {"logits": logits, "target": target, "loss": float(loss), "softmax": [float(p) for p in softmax]}


def adamw(variant, lr, betas, eps, weight_decay, scale):
    """torch.optim.AdamW, and the AdamW that transformers had; both as documented, all in mpf."""
    start = [0.5, -1.25, 2.0]
    gradients = [[scale * value for value in (((step * 7) % 5 - 2) / 4, 0.5, (-1) ** step * 0.75)] for step in range(10)]
    lr_, b1, b2, eps_, decay = (mpf(x) for x in (lr, *betas, eps, weight_decay))
    p, m, v = [mpf(x) for x in start], [mpf(0)] * 3, [mpf(0)] * 3
    parameters = []
    for t, gradient in enumerate(gradients, 1):
        for i, g in enumerate(map(mpf, gradient)):
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g * g
            if variant == "torch":
                p[i] *= 1 - lr_ * decay
                p[i] -= lr_ * (m[i] / (1 - b1**t)) / (sqrt(v[i] / (1 - b2**t)) + eps_)
            else:
                p[i] -= lr_ * sqrt(1 - b2**t) / (1 - b1**t) * m[i] / (sqrt(v[i]) + eps_)
                p[i] *= 1 - lr_ * decay
        parameters.append([float(x) for x in p])
    if variant == "torch":
        for got, want in zip(torch_adamw(start, gradients, lr, betas, eps, weight_decay), parameters):
            # 1 - 0.999**t loses up to 1000 roundings, of an update that is at most 4 lr.
            tolerance = 2.0**-53 * len(gradients) * (4000 * lr + 8)
            assert all(abs(g - w) <= tolerance for g, w in zip(got, want)), (got, want)
    return {
        "variant": variant, "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
        "start": start, "gradients": gradients, "parameters": parameters,
    }


def torch_adamw(start, gradients, lr, betas, eps, weight_decay):
    parameter = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([parameter], lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        yield parameter.tolist()


def schedule(decay, warmup, steps):
    """What transformers multiplies the rate with at steps 0, 1, ..., steps - 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    totals = {} if decay == "constant" else {"num_training_steps": steps}
    make = getattr(transformers, f"get_{decay}_schedule_with_warmup")
    (factor,) = make(optimizer, num_warmup_steps=warmup, **totals).lr_lambdas
    factors = [float(factor(step)) for step in range(steps)]
    return {"decay": decay, "warmup": warmup, "steps": steps, "factors": factors}


golden = {
    "script": "crates/adapter/tests/golden.py",
    "cross_entropy": [cross_entropy(*case) for case in LOGITS],
    "adamw": [
        adamw(variant, 0.01, [0.9, 0.999], eps, decay, scale)
        for variant, eps in (("torch", 1e-8), ("hf", 1e-6))
        for decay in (0.0, 0.1)
        for scale in (1.0, 1e-9, 1e3)
    ] + [adamw(variant, 0.25, [0.5, 0.75], 0.125, 0.5, 1.0) for variant in ("torch", "hf")],
    "schedules": [
        schedule(decay, warmup, steps)
        for decay in ("constant", "linear", "cosine")
        for warmup, steps in ((0, 1), (1, 1), (0, 5), (1, 5), (4, 5), (5, 5), (3, 10))
    ],
}
Path(__file__).with_name("golden.json").write_text(json.dumps(golden, indent=1) + "\n")
