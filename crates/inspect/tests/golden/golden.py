"""What others say about two adapters: numpy's SVD of the dense ΔW that PEFT computes in f64, and PEFT's own weighted sums.

    python crates/inspect/tests/golden/golden.py

writes beside itself
    base/         a Llama of 3 thousand random parameters, f32
    one/, two/    LoRA adapters that PEFT saved: other ranks, scales, targets and storage (f32 and bf16); one module of the
                  first has B = 0
    vectors/      a VeRA adapter
    dora/         a DoRA adapter
    golden.json   what `inspect`, `resize`, `combine` and `extract` are held to
Needs torch, transformers, peft, numpy, safetensors. The same versions give the same files.
"""

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, VeraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# PEFT keeps the weights of "svd" in f32: these are exact there.
WEIGHTS = [0.75, -0.25]


def base_model():
    config = LlamaConfig(
        vocab_size=24,
        hidden_size=12,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=32,
        tie_word_embeddings=True,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def load(*adapters):
    """The base in f64 with these adapters on it."""
    model = LlamaForCausalLM.from_pretrained(HERE / "base", dtype=torch.float64)
    for i, name in enumerate(adapters):
        if i == 0:
            model = PeftModel.from_pretrained(model, HERE / name, adapter_name=name, autocast_adapter_dtype=False)
        else:
            model.load_adapter(HERE / name, adapter_name=name, autocast_adapter_dtype=False)
    return model.double()


def layers(model):
    """The layers that PEFT adapts, by name."""
    modules = model.base_model.model.named_modules()
    return {path: module for path, module in modules if isinstance(module, BaseTunerLayer)}


def deltas(model, adapter):
    holds = lambda layer: adapter in (getattr(layer, "lora_A", None) or layer.vera_lambda_d)
    found = {path: layer for path, layer in layers(model).items() if holds(layer)}
    return {path: layer.get_delta_weight(adapter).detach().numpy() for path, layer in found.items()}


def dora_deltas():
    """`get_delta_weight` knows nothing of DoRA: the difference that merging makes."""
    before, model = load(), load("dora")
    names = list(layers(model))
    merged = model.merge_and_unload()
    weight = lambda model, name: model.get_submodule(name).weight.detach().numpy()
    return {name: weight(merged, name) - weight(before, name) for name in names}


def make_adapters():
    torch.manual_seed(2)
    one = LoraConfig(
        r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], rank_pattern={"v_proj": 2}, task_type="CAUSAL_LM"
    )
    two = LoraConfig(
        r=3,
        lora_alpha=2,
        use_rslora=True,
        target_modules=["q_proj", "k_proj", "down_proj"],
        alpha_pattern={r"layers\.1\..*down_proj": 5},
        task_type="CAUSAL_LM",
    )
    vera = VeraConfig(r=5, target_modules=["q_proj", "v_proj"], projection_prng_key=3, save_projection=False)
    dora = LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["q_proj"], task_type="CAUSAL_LM")
    for name, config in {"one": one, "two": two, "vectors": vera, "dora": dora}.items():
        model = get_peft_model(LlamaForCausalLM.from_pretrained(HERE / "base"), config, adapter_name=name)
        for path, layer in layers(model).items():
            if name == "vectors":
                for vector in (layer.vera_lambda_b, layer.vera_lambda_d):
                    torch.nn.init.normal_(vector[name], std=0.1)
                continue
            for factor in (layer.lora_A, layer.lora_B):
                torch.nn.init.normal_(factor[name].weight, std=0.1)
            if name == "one" and path.endswith("layers.0.mlp.down_proj"):
                torch.nn.init.zeros_(layer.lora_B[name].weight)
            if name == "one" and path.endswith("layers.1.self_attn.q_proj"):
                # Directions of very different sizes: the last drowns in bf16, and in f16.
                sizes = torch.tensor([1.0, 0.1, 1e-3, 1e-5])
                layer.lora_B[name].weight.data *= sizes
        model.save_pretrained(HERE / "all")
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / "all" / name).rename(HERE / name)
        (HERE / name / "README.md").unlink(missing_ok=True)
        config = json.loads((HERE / name / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = "base"
        (HERE / name / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(HERE / "all", ignore_errors=True)
    path = HERE / "two" / "adapter_model.safetensors"
    save_file({key: tensor.bfloat16() for key, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


def ranks(sigma):
    sigma = sigma[sigma > 0]
    p = sigma / sigma.sum()
    return {
        "effective_rank": float(np.exp(-(p * np.log(p)).sum())) if len(sigma) else 0.0,
        "stable_rank": float((sigma**2).sum() / sigma[0] ** 2) if len(sigma) else 0.0,
    }


def numerical_rank(layer, adapter, sigma, shape, dtype):
    """The singular values above ‖E‖₂, E what rounding A and B to `dtype` does to ΔW; numpy's tolerance if that is more."""
    scale = layer.scaling[adapter]
    a, b = layer.lora_A[adapter].weight.detach(), layer.lora_B[adapter].weight.detach()
    rounded = [tensor.to(dtype).double() for tensor in (a, b)]
    noise = scale * (rounded[1] @ rounded[0] - b @ a).numpy()
    tolerance = max(np.linalg.norm(noise, 2), max(shape) * np.finfo(float).eps * sigma[0])
    return int((sigma > tolerance).sum())


def inspected(adapter):
    model, found = load(adapter), {}
    layer_of = layers(model)
    for path, delta in (dora_deltas() if adapter == "dora" else deltas(model, adapter)).items():
        layer = layer_of[path]
        weight = layer.get_base_layer().weight.detach().numpy()
        sigma = np.linalg.svd(delta, compute_uv=False)
        merged = weight + delta
        stored = torch.from_numpy(merged).bfloat16().double().numpy()
        norm = np.linalg.norm(delta)
        found[path] = {
            "singular_values": sigma.tolist(),
            "norm": float(norm),
            "relative": float(norm / np.linalg.norm(weight)),
            "lost": float(np.linalg.norm(stored - merged) / norm) if norm else 0.0,
            "unchanged": float(((delta != 0) & (stored == weight)).mean()),
            **ranks(sigma),
        }
        if adapter in ("one", "two"):
            found[path]["scale"] = layer.scaling[adapter]
            found[path]["numerical_rank"] = {
                name: numerical_rank(layer, adapter, sigma, delta.shape, dtype) for name, dtype in DTYPES.items()
            }
    return found


def similarity(first, second):
    found = {}
    for path in first.keys() & second.keys():
        a, b = first[path], second[path]
        if not a.any() or not b.any():
            found[path] = None
            continue
        (u1, s1, v1), (u2, s2, v2) = [np.linalg.svd(delta) for delta in (a, b)]
        i, j = [np.linalg.matrix_rank(delta) for delta in (a, b)]
        phi = lambda u, v: float(np.linalg.norm(u.T @ v) ** 2 / min(i, j))
        found[path] = {
            "ranks": [int(i), int(j)],
            "cosine": float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)),
            "output": phi(u1[:, :i], u2[:, :j]),
            "input": phi(v1[:i].T, v2[:j].T),
        }
    return found


def change(shape, layer):
    """A change of full rank that a test can make too: multiples of 1/1024 with a few large directions."""
    i, j = np.indices(shape)
    return ((i * 7 + j * 13 + layer) % 11 - 5) / 64 + (i * i % 5 - 2) * (j % 3 - 1) / 1024


def extracted(rank):
    """What is left of that change after its best approximation."""
    found = {}
    for path, module in load().named_modules():
        if path.endswith(("q_proj", "up_proj")):
            sigma = np.linalg.svd(change(module.weight.shape, int(path.split(".")[2])), compute_uv=False)
            found[path] = {"norm": float(np.linalg.norm(sigma)), "error": float(np.linalg.norm(sigma[rank:]))}
    return found


def lists(matrices):
    return {path: matrix.tolist() for path, matrix in matrices.items()}


def main():
    base_model().save_pretrained(HERE / "base")
    (HERE / "base" / "generation_config.json").unlink(missing_ok=True)
    make_adapters()
    model = load("one", "two")
    first, second = deltas(model, "one"), deltas(model, "two")
    model.add_weighted_adapter(["one", "two"], WEIGHTS, "cat", combination_type="cat")
    model.add_weighted_adapter(["one", "two"], WEIGHTS, "svd", combination_type="svd", svd_rank=2)
    golden = {
        "inspect": {adapter: inspected(adapter) for adapter in ("one", "two", "vectors", "dora")},
        "similarity": similarity(first, second),
        "weights": WEIGHTS,
        "cat": lists(deltas(model, "cat")),
        "svd": lists(deltas(model, "svd")),
        "extract": {"rank": 3, "modules": extracted(3)},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "numpy")},
    }
    text = json.dumps(golden, sort_keys=True, allow_nan=False, separators=(",", ":"))
    (HERE / "golden.json").write_text(text + "\n")
    print(len(text), "bytes")


if __name__ == "__main__":
    # PEFT keeps target_modules in a set: its order in the file hangs on the hash seed.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main()
