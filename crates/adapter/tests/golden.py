"""Cross-entropy and AdamW from their formulas in 50 digits: writes golden.json beside it.

    python crates/adapter/tests/golden.py        (needs mpmath)
"""

import json
from pathlib import Path

from mpmath import exp, log, mp, mpf, sqrt

mp.dps = 50

LOGITS = [
    ([0.0, 0.0, 0.0], 1),
    ([1.5, -2.25, 0.375, 4.0], 2),
    ([1e4, -1e4, 9999.0], 0),
    ([1e4, -1e4, 9999.0], 2),
    ([-700.0, 700.0], 0),
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
    return {
        "variant": variant, "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
        "start": start, "gradients": gradients, "parameters": parameters,
    }


golden = {
    "script": "crates/adapter/tests/golden.py",
    "cross_entropy": [cross_entropy(*case) for case in LOGITS],
    "adamw": [
        adamw(variant, 0.01, [0.9, 0.999], eps, decay, scale)
        for variant, eps in (("torch", 1e-8), ("hf", 1e-6))
        for decay in (0.0, 0.1)
        for scale in (1.0, 1e-9, 1e3)
    ] + [adamw(variant, 0.25, [0.5, 0.75], 0.125, 0.5, 1.0) for variant in ("torch", "hf")],
}
Path(__file__).with_name("golden.json").write_text(json.dumps(golden, indent=1) + "\n")
