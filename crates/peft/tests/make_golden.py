"""Adapters that PEFT 0.21 saves, and the ΔW it computes in f64: writes tests/golden beside it.

    python crates/peft/tests/make_golden.py        (tests/parity/requirements.txt)

Six linear layers of three shapes, with out != in.

LoRA: alpha != r, ranks and alphas by pattern (two patterns fit layers.0.v_proj: the first decides); once α/r with a
list of targets, once α/√r with a regular expression for them.

DoRA: a LoRA whose scales are fractions with powers of two below, over weights that are multiples of 1/64: their lengths
are roots of exact sums, and weight.json has them.

pickled: the adapter of alpha_over_r, as adapter_model.bin.

VeRA: one A and B for the three shapes, the largest out of one and the largest in of another; no entry of b and d is 0.
Once with A and B in the folder, and not those that the key gives; once with the key only, larger than the 32 bits that
count.
"""

import copy
import json
import os
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, VeraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer

GOLDEN = Path(__file__).with_name("golden")
SHAPES = {"q_proj": (6, 4), "v_proj": (3, 4), "up": (5, 7), "down": (7, 5)}


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, (out, fan_in) in SHAPES.items():
            setattr(self, name, torch.nn.Linear(fan_in, out, bias=False, dtype=torch.float64))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Block(), Block()])


def adapted(model):
    """The layers that PEFT adapts, by name."""
    modules = model.base_model.model.named_modules()
    return {path: module for path, module in modules if isinstance(module, BaseTunerLayer)}


def randomize(tensor):
    """Multiples of 1/64, exact in F32, so that the file in either precision holds the same numbers."""
    tensor.data = torch.randint(-64, 65, tensor.shape).double() / 64


def lora(rslora, targets, **options):
    config = LoraConfig(
        r=2,
        lora_alpha=3,
        use_rslora=rslora,
        lora_dropout=0.1,
        target_modules=targets,
        rank_pattern={"down": 1, "layers.1.q_proj": 3},
        alpha_pattern={r"layers\.0\.(down|v_proj)": 7, "v_proj": 5},
        **options,
    )
    model = get_peft_model(Model(), config)
    for layer in adapted(model).values():
        for factor in (layer.lora_A, layer.lora_B):
            randomize(factor["default"].weight)
    return model


def dora(targets):
    model = lora(False, targets, use_dora=True)
    for layer in adapted(model).values():
        randomize(layer.get_base_layer().weight)
        m = layer.lora_magnitude_vector["default"].weight
        m.data = torch.randint(16, 129, m.shape).double() / 64
    return model


def delta_weight(layer):
    """What merging adds to W. `get_delta_weight` knows nothing of DoRA."""
    if not getattr(layer, "lora_magnitude_vector", None):
        return layer.get_delta_weight("default")
    merged = copy.deepcopy(layer)
    merged.merge()
    return merged.get_base_layer().weight - layer.get_base_layer().weight


def vera(save_projection, targets):
    config = VeraConfig(
        r=2,
        d_initial=0.25,
        vera_dropout=0.1,
        target_modules=targets,
        projection_prng_key=2**32 + 5,
        save_projection=save_projection,
    )
    model = get_peft_model(Model(), config)
    for layer in adapted(model).values():
        for vector in (layer.vera_lambda_b, layer.vera_lambda_d):
            # Two bits and a sign: see tests/golden.rs.
            values = torch.tensor([-3, -2, -1, 1, 2, 3]).double() / 4
            vector["default"].data = values[torch.randint(6, vector["default"].shape)]
    if save_projection:
        for matrix in (model.base_model.vera_A, model.base_model.vera_B):
            randomize(matrix["default"])
    return model


def write(path, matrices):
    lists = {name: matrix.tolist() for name, matrix in matrices.items()}
    path.write_text(json.dumps(lists, indent=1, sort_keys=True) + "\n")


def main():
    # PEFT's advice to save A and B.
    warnings.filterwarnings("ignore", "Specified to not save vera_A and vera_B")
    cases = {
        "alpha_over_r": lambda: lora(False, ["q_proj", "v_proj", "down"]),
        "rslora": lambda: lora(True, r"layers\.\d\.(q_proj|v_proj|down)"),
        "pickled": lambda: lora(False, ["q_proj", "v_proj", "down"]),
        "dora": lambda: dora(["q_proj", "v_proj", "down"]),
        "vera_saved": lambda: vera(True, ["q_proj", "v_proj", "up"]),
        "vera_key": lambda: vera(False, r"layers\.\d\.(q_proj|v_proj|up)"),
    }
    for name, make in cases.items():
        torch.manual_seed(7)
        model = make()
        folder = GOLDEN / name
        model.save_pretrained(folder, safe_serialization=name != "pickled")
        (folder / "README.md").unlink(missing_ok=True)
        write(folder / "delta_weight.json", {path: delta_weight(layer) for path, layer in adapted(model).items()})
        if name == "dora":
            write(folder / "weight.json", {path: layer.get_base_layer().weight for path, layer in adapted(model).items()})
    # No tensors: what a field is if nobody says.
    for config in (LoraConfig(), VeraConfig()):
        config.save_pretrained(GOLDEN / f"{config.peft_type.lower()}_defaults")


if __name__ == "__main__":
    # PEFT keeps target_modules in a set: its order in the file hangs on the hash seed.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main()
