"""A training loop in PyTorch that was changed and ought to give the same losses. Its steps are recorded and followed.

pip install lowrank_oracle-*.whl torch
python differs.py FOLDER    # writes FOLDER/before and FOLDER/after
"""

import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

import lowrank_oracle

STEPS, DECAY_FROM = 24, 16
RATE, RATIO, DECAY, ALPHA, RANK = 0.01, 16.0, 0.1, 8.0, 2


# ANCHOR: rates
def factor(step):
    """The learning rate is constant at first and goes down to 0 at the end."""
    return min(1.0, (STEPS - step) / (STEPS - DECAY_FROM))


def before(optimizer):
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return lambda step: schedule.step() if step > 0 else None


def after(optimizer):
    def set_rates(step):
        if step >= DECAY_FROM:
            for group in optimizer.param_groups:
                group["lr"] = RATE * factor(step)

    return set_rates


# ANCHOR_END: rates


class LoraLinear(nn.Module):
    """y = x Wᵀ + s (x Aᵀ) Bᵀ with s = α/r and B = 0 at first. x [tokens, in], W [out, in], A [r, in], B [out, r]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.register_buffer("weight", torch.randn(outputs, inputs))
        self.lora_A = nn.Parameter(torch.randn(RANK, inputs) / inputs**0.5)
        self.lora_B = nn.Parameter(torch.zeros(outputs, RANK))

    def forward(self, x):
        return x @ self.weight.T + ALPHA / RANK * (x @ self.lora_A.T @ self.lora_B.T)


# ANCHOR: state
def state(layer, optimizer):
    """The trained tensors and their moments, copied: the update overwrites them."""
    tensors = dict(layer.named_parameters())
    for name, parameter in layer.named_parameters():
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in optimizer.state[parameter]:
                tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


# ANCHOR_END: state


def train(folder, rates):
    """Trains a layer with LoRA+ and returns its losses."""
    torch.manual_seed(0)
    layer, target = LoraLinear(6, 4), torch.randn(4, 6)
    groups = [{"params": [layer.lora_A], "lr": RATE}, {"params": [layer.lora_B], "lr": RATE * RATIO}]
    optimizer = torch.optim.AdamW(groups, weight_decay=DECAY)
    set_rates, losses = rates(optimizer), []
    for step in range(STEPS):
        losses.append(train_step(folder, step, layer, optimizer, set_rates, target))
    return losses


# ANCHOR: step
def train_step(folder, step, layer, optimizer, set_rates, target):
    set_rates(step)
    x = torch.randn(16, 6)
    y = layer(x)
    y.retain_grad()
    loss = (y - x @ target.T).square().mean()
    optimizer.zero_grad()
    loss.backward()

    given = state(layer, optimizer)
    optimizer.step()

    grads = {f"grad_{name}": parameter.grad for name, parameter in layer.named_parameters()}
    passes = {"x": x, "grad_y": y.grad, "weight": layer.weight}
    passes |= {name: given[name] for name in ("lora_A", "lora_B")}
    meant = {"name": "adamw", "lr": RATE * factor(step), "lr_ratio": RATIO, "weight_decay": DECAY}
    settings = {"alpha": ALPHA, "optimizer": meant, "start": step}
    lowrank_oracle.record(folder, step, "backward", "lora-plus", {"alpha": ALPHA}, passes, {"y": y, **grads})
    given |= grads
    lowrank_oracle.record(folder, step, "step", "lora-plus", settings, given, state(layer, optimizer))
    return loss.item()


# ANCHOR_END: step


def main():
    folder = Path(sys.argv[1])
    losses = [train(folder / "before", before), train(folder / "after", after)]
    print("step  before   after")
    for step in range(13, 22):
        print(f"{step:>4}  {losses[0][step]:.4f}  {losses[1][step]:.4f}")
    print("\n$ lowrank follow before after", flush=True)
    subprocess.run([lowrank_oracle.program(), "follow", "before", "after"], cwd=folder, check=False)


if __name__ == "__main__":
    main()
