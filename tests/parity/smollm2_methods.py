"""PEFT's methods on SmolLM2: what is put on q_proj and v_proj, where it starts, what moves it, and eight steps of it.

The start comes from golden.grid, n(stream, j), computed in f64 and rounded once to f32. Modules are numbered in the
order layer 0 q_proj, layer 0 v_proj, layer 1 q_proj, ...; j runs over a tensor row by row:

    lora_A of module m:         n(2m, j) / 1000 / sqrt(in)
    lora_B of module m:         n(2m + 1, j) / 100000
    vera_lambda_b of module m:  n(m, j) / 10000
    vera_lambda_d:              d_initial, as PEFT makes it
    lora_magnitude_vector:      the lengths of the rows of W, computed in f64, as PEFT makes it but for rounding

B and lambda_b are not zero, so that the gradients of A and d are tested from the first step. `initial_sha256` is taken
over the f32 values, little endian, module by module, A before B before the magnitude, and b before d.
"""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from unittest import mock

import numpy as np
import torch
from peft import LoraConfig, PeftConfig, VeraConfig, get_peft_model
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer, lorafa

from golden import grid, shortest_f32
from smollm2_model import in_f64

STEPS = 8
# Of the 192 in f64: eight steps on all of them take a minute, and show no more.
TOKENS_IN_F64 = 48
RANK, ALPHA, RATE = 8, 16, 1e-3
TARGETS = ["q_proj", "v_proj"]
WATCHED_LAYERS = ("0", "15", "29")
MOMENTS = ("exp_avg", "exp_avg_sq")

# Decay is exaggerated where it is on: what it takes away in eight steps must show in the norms.
DECAY = 1.0
PLUS_RATE, PLUS_RATIO = 2e-4, 16.0
VERA_RATE = 1e-2


@dataclass(frozen=True)
class Method:
    config: Callable[[], PeftConfig]
    optimizer: Callable  # from the model to its optimiser
    settings: dict


def lora_config(rank: int = RANK, alpha: int = ALPHA, **options) -> LoraConfig:
    return LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=TARGETS, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM", **options
    )


def vera_config() -> VeraConfig:
    return VeraConfig(
        r=256, d_initial=0.1, projection_prng_key=0, target_modules=TARGETS, vera_dropout=0.0, bias="none",
        task_type="CAUSAL_LM",
    )  # fmt: skip


def adamw(model, lr: float):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=0.0)


def loraplus(model):
    return create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=PLUS_RATE, loraplus_lr_ratio=PLUS_RATIO, loraplus_weight_decay=DECAY
    )


def lorafa_optimizer(model):
    return create_lorafa_optimizer(model, r=RANK, lora_alpha=ALPHA, lr=RATE, weight_decay=DECAY)


TORCH_ADAMW = {"optimizer": "torch.optim.AdamW", "betas": [0.9, 0.999], "eps": 1e-8}
COMMON = {"targets": TARGETS, "dropout": 0, "steps": STEPS}
METHODS = {
    "lora": Method(
        lora_config,
        partial(adamw, lr=RATE),
        COMMON | TORCH_ADAMW | {"rank": RANK, "alpha": ALPHA, "lr": RATE, "weight_decay": 0.0},
    ),
    "lora_fa": Method(
        lora_config,
        lorafa_optimizer,
        COMMON
        | {"optimizer": "peft.optimizers.create_lorafa_optimizer", "betas": [0.9, 0.999], "eps": 1e-6}
        | {"rank": RANK, "alpha": ALPHA, "lr": RATE, "weight_decay": DECAY},
    ),
    "lora_plus": Method(
        lora_config,
        loraplus,
        COMMON
        | TORCH_ADAMW
        | {"grouping": "peft.optimizers.create_loraplus_optimizer"}
        | {"rank": RANK, "alpha": ALPHA, "lr": PLUS_RATE, "lr_ratio": PLUS_RATIO, "weight_decay": DECAY},
    ),
    "dora": Method(
        partial(lora_config, use_dora=True),
        partial(adamw, lr=RATE),
        COMMON | TORCH_ADAMW | {"rank": RANK, "alpha": ALPHA, "lr": RATE, "weight_decay": 0.0},
    ),
    "vera": Method(
        vera_config,
        partial(adamw, lr=VERA_RATE),
        COMMON
        | TORCH_ADAMW
        | {"rank": 256, "d_initial": 0.1, "projection_prng_key": 0, "lr": VERA_RATE, "weight_decay": 0.0},
    ),
}


def modules(model) -> list[tuple]:
    """The adapted layers in the order of the recipe, each with its module name."""
    layers = model.base_model.model.model.layers
    return [
        (f"model.layers.{index}.self_attn.{target}", getattr(layer.self_attn, target))
        for index, layer in enumerate(layers)
        for target in TARGETS
    ]


def tensors(layer) -> dict:
    """What PEFT adds to a layer, by the names it has on disk."""
    if hasattr(layer, "lora_A"):
        factors = {"lora_A": layer.lora_A["default"].weight, "lora_B": layer.lora_B["default"].weight}
        return factors | {"lora_magnitude_vector": dora.weight for dora in layer.lora_magnitude_vector.values()}
    return {"vera_lambda_b": layer.vera_lambda_b["default"], "vera_lambda_d": layer.vera_lambda_d["default"]}


def start(name: str, module: int, layer, parameter) -> np.ndarray | None:
    """The recipe's numbers for a tensor, row by row; None: PEFT's own."""
    count = parameter.numel()
    match name:
        case "lora_A":
            return grid(2 * module, count) / 1000.0 / np.sqrt(float(parameter.shape[1]))
        case "lora_B":
            return grid(2 * module + 1, count) / 100000.0
        case "vera_lambda_b":
            return grid(module, count) / 10000.0
        case "lora_magnitude_vector":
            return layer.get_base_layer().weight.double().norm(dim=1).numpy()
    return None


def sha256(parameters) -> str:
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().numpy().astype("<f4", casting="equiv").tobytes())
    return digest.hexdigest()


def adapt(model, config: PeftConfig):
    """The model with PEFT's method on it, started from the recipe at the top, and the SHA-256."""
    model = get_peft_model(model, config)
    with torch.no_grad():
        for number, (_, layer) in enumerate(modules(model)):
            for name, parameter in tensors(layer).items():
                values = start(name, number, layer, parameter)
                if values is not None:
                    parameter.copy_(torch.from_numpy(values.astype("<f4")).reshape(parameter.shape))
    return model, sha256(p for _, layer in modules(model) for p in tensors(layer).values())


def moments(optimizer, trained: dict) -> dict:
    """Adam's [m, v] of each parameter. PEFT's LoRA-FA keeps them by layer, under names of its own."""
    if isinstance(optimizer, lorafa.LoraFAOptimizer):
        states = [optimizer.state[f"base_model.model.{path.removesuffix('_B')}"] for path in trained]
        return {path: [state[f"{m}_B"].clone() for m in MOMENTS] for path, state in zip(trained, states)}
    return {path: [optimizer.state[p][m].clone() for m in MOMENTS] for path, p in trained.items()}


def trained_tensors(model) -> dict:
    """By `<module>.<name>`."""
    trained = {
        f"{module}.{name}": parameter
        for module, layer in modules(model)
        for name, parameter in tensors(layer).items()
        if parameter.requires_grad
    }
    assert len(trained) == sum(p.requires_grad for p in model.parameters())
    return trained


@dataclass
class Run:
    """What eight steps did; tensors by `<module>.<name>`."""

    losses: list[float]
    gradient_norm: float
    trained: dict  # the parameters, after the last step
    first_moments: dict
    last_moments: dict


def eight_steps(model, optimizer, ids: list[int]) -> Run:
    trained = trained_tensors(model)
    batch = torch.tensor([ids])
    run = Run([], 0.0, trained, {}, {})
    model.train()
    for step in range(STEPS + 1):  # the last turn only takes the loss that the eighth update led to
        optimizer.zero_grad()
        loss = model(batch, labels=batch).loss
        run.losses.append(loss.item())
        if step == STEPS:
            break
        loss.backward()
        if step == 0:
            run.gradient_norm = sum(p.grad.double().square().sum().item() for p in trained.values()) ** 0.5
        optimizer.step()
        if step == 0:
            run.first_moments = moments(optimizer, trained)
    run.last_moments = moments(optimizer, trained)
    return run


def watched(paths) -> list[str]:
    return [path for path in paths if path.split(".")[2] in WATCHED_LAYERS]


def results(run: Run, number: Callable) -> dict:
    return {
        "losses": [number(loss) for loss in run.losses[:STEPS]],
        "loss_after_last_step": number(run.losses[STEPS]),
        "first_gradient_norm": run.gradient_norm,
        "final_norms": {path: number(run.trained[path].detach().norm().item()) for path in watched(run.trained)},
    }


def bf16_off():
    """PEFT's LoRA-FA asks this function whether to project in bf16. The name is replaced where the optimiser looks it
    up; its own branch for machines without bf16 then runs, and no code of PEFT's is changed."""
    return mock.patch.object(lorafa, "is_bf16_available", return_value=False)


def start_run(name: str, model):
    """The adapted model, its optimiser, and what the golden file says about the start."""
    method = METHODS[name]
    model, digest = adapt(model, method.config())
    optimizer = method.optimizer(model)
    for group in optimizer.param_groups:
        assert [*group["betas"], group["eps"]] == [*method.settings["betas"], method.settings["eps"]]
    about = {"settings": method.settings, "initial_sha256": digest}
    if name == "vera":
        shared = [model.base_model.vera_A["default"], model.base_model.vera_B["default"]]
        about["projections"] = {"shapes": [list(p.shape) for p in shared], "sha256": sha256(shared)}
    if name == "lora_fa":
        about["ridge_changes_entries"] = sum(ridge_changes(tensors(layer)["lora_A"]) for _, layer in modules(model))
    return model, optimizer, about


def ridge_changes(a) -> int:
    """How many entries of A A^T, in A's precision, change when 1e-8 is added to its diagonal as PEFT's LoRA-FA does."""
    gram = a @ a.T
    return int((gram + 1e-8 * torch.eye(len(a)) != gram).sum())


def document(name: str, make_model: Callable, ids: list[int]) -> dict:
    """The golden file of a method. `make_model` loads SmolLM2 anew."""
    model, optimizer, about = start_run(name, make_model())
    with bf16_off() if name == "lora_fa" else nullcontext():
        run = eight_steps(model, optimizer, ids)
    if name == "lora_fa":
        model, optimizer, _ = start_run(name, make_model())
        about["bf16_autocast"] = deviation(eight_steps(model, optimizer, ids), run)
    return about | results(run, shortest_f32) | {
        "text": "tests/parity/text.txt",
        "token_ids": ids,
        "trainable": sum(p.numel() for p in run.trained.values()),
    }  # fmt: skip


def document_in_f64(name: str, model, ids: list[int]) -> dict:
    """The same run, from the same start, with everything in f64, on the first tokens of `ids`."""
    model, optimizer, _ = start_run(name, model)
    model = in_f64(model)
    made = results(run := eight_steps(model, optimizer, ids[:TOKENS_IN_F64]), float)
    if name == "lora_fa":
        # What Adam was given: m = (1 - beta1) g. bf16 autocast leaves f64 alone, but here the 1e-8 on the diagonal counts.
        made["projected_norms"] = {
            path: (run.first_moments[path][0] / (1.0 - 0.9)).norm().item() for path in watched(run.trained)
        }
        grams = [tensors(layer)["lora_A"] @ tensors(layer)["lora_A"].T for _, layer in modules(model)]
        made["smallest_eigenvalue"] = min(torch.linalg.eigvalsh(gram).min().item() for gram in grams)
    return made


def deviation(shipped: Run, exact: Run) -> dict:
    """LoRA-FA as PEFT ships it, with the projection in bf16, against the same with the projection in f32.

    Of tensors: the largest over the modules of ||shipped - exact|| / ||exact||. After the first step both have seen the
    same gradients, so `first_*` is the rounding of the projection alone.
    """

    def largest(values: Callable[[Run, str], torch.Tensor]) -> float:
        pairs = [(values(shipped, path).double(), values(exact, path).double()) for path in exact.trained]
        return max(((got - want).norm() / want.norm()).item() for got, want in pairs)

    made = results(shipped, shortest_f32)
    return {
        "losses": made["losses"],
        "loss_after_last_step": made["loss_after_last_step"],
        "deviation": {
            "first_exp_avg": largest(lambda run, path: run.first_moments[path][0]),
            "first_exp_avg_sq": largest(lambda run, path: run.first_moments[path][1]),
            "last_exp_avg": largest(lambda run, path: run.last_moments[path][0]),
            "last_exp_avg_sq": largest(lambda run, path: run.last_moments[path][1]),
            "final_b": largest(lambda run, path: run.trained[path].detach()),
        },
    }
