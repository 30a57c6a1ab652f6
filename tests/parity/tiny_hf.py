"""Two tiny Llama folders as Hugging Face lays them out, and what transformers computes on them in f64.

    python tests/parity/tiny_hf.py            write the folders and golden files under tests/golden
    python tests/parity/tiny_hf.py --check    compare with the committed files; exit 1 on a difference

    tiny_llama/         untied, two shards and their index, f32
    tiny_llama_tied/    tied embeddings, rope_scaling llama3, head_dim * heads != hidden; config.json in the hub's
                        usual form, config_v5.json says the same as transformers 5 writes it (rope_parameters)
    tiny_llama.safetensors, tiny_llama_tied.safetensors    the golden values, f64; the metadata key `case` says on what

The weights are seeded noise from golden.grid, n(stream, j): nothing was trained. The stream is the tensor's place in
the sorted names, j runs row by row, and the value is rounded once, from f64 to f32:

    norm weights 1 + n/2000 · embeddings n/1000 · every other [out, in] matrix 2 n / 1000 / sqrt(in)

A golden file has, with the rows of the sequences one after the other and the padding left out,

    logits [rows, vocab]; hidden.0 (embedding), hidden.1 (after layer 0), hidden.2 (after the last norm) [rows, hidden]
    loss [1], grad.<weight>                         mean over all next-token predictions
    completion.loss [1], completion.grad.<weight>   mean over the tokens after each prompt

LlamaForCausalLM is not f64 all the way when its weights are: RMSNorm, RoPE's angles and the loss go through f32. Those
three are replaced here by the same formulas in f64, and the result is compared with the unchanged model.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM
from transformers.models.llama import modeling_llama

from golden import GOLDEN, differences, grid, provenance, report

COMMON = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 16,
    "initializer_range": 0.02,
    "max_position_embeddings": 256,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 64,
}
# With theta 10000 and head_dim 8 the wavelengths are 6.3, 63, 628 and 6283 tokens. Of a context of 128 they are short
# (kept), between (blended), long and long (divided by the factor): every branch is taken.
SCALING = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}  # fmt: skip
CONFIGS = {
    "tiny_llama": COMMON
    | {"head_dim": 4, "intermediate_size": 24, "rope_scaling": None, "rope_theta": 500.0, "tie_word_embeddings": False},
    "tiny_llama_tied": COMMON
    | {"head_dim": 8, "intermediate_size": 20, "rope_scaling": SCALING, "rope_theta": 10000.0, "tie_word_embeddings": True},
}
# Token 5 comes twice in a row and in both sequences, so its embedding's gradient is a sum.
SEQUENCES = [[1, 5, 5, 63, 17, 0, 42], [9, 5, 30, 2]]
PROMPTS = [3, 2]  # tokens at the front of each sequence that the completion loss does not predict
SHARD_BREAK = "model.layers.1"  # sorted names from here on are in the second shard


class RMSNorm64(modeling_llama.LlamaRMSNorm):
    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon))


def frequencies(config: dict) -> torch.Tensor:
    """theta^(-2i/d), slowed down as in Llama 3.1 where the config says so, in f64."""
    d = config["head_dim"]
    plain = config["rope_theta"] ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    scaling = config["rope_scaling"]
    if scaling is None:
        return plain
    wavelength = 2 * torch.pi / plain
    context, low, high = (scaling[k] for k in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
    blend = (context / wavelength - low) / (high - low)
    between = (1 - blend) * plain / scaling["factor"] + blend * plain
    slowed = torch.where(wavelength > context / low, plain / scaling["factor"], between)
    return torch.where(wavelength < context / high, plain, slowed)


class Rotary64(torch.nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        self.frequencies = frequencies(config)

    def forward(self, x, position_ids):
        angles = position_ids[..., None].double() * self.frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()


def shapes(config: dict) -> dict[str, tuple]:
    hidden, inner, d = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * d, config["num_key_value_heads"] * d
    tensors = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        tensors |= {
            f"model.layers.{layer}.{name}.weight": shape
            for name, shape in {
                "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
                "self_attn.q_proj": (q, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
                "self_attn.o_proj": (hidden, q), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
                "mlp.down_proj": (hidden, inner),
            }.items()
        }  # fmt: skip
    return tensors


def weights(config: dict) -> dict[str, torch.Tensor]:
    made = {}
    for stream, (name, shape) in enumerate(sorted(shapes(config).items())):
        n = grid(stream, int(np.prod(shape)))
        if len(shape) == 1:
            values = 1.0 + n / 2000.0
        elif "embed" in name:
            values = n / 1000.0
        else:
            values = 2.0 * n / 1000.0 / np.sqrt(float(shape[1]))
        made[name] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return made


def write_json(path: Path, document: dict) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def write_folder(folder: Path, config: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = weights(config)
    write_json(folder / "config.json", config)
    if config["tie_word_embeddings"]:
        new = {k: v for k, v in config.items() if k not in ("rope_scaling", "rope_theta", "torch_dtype")}
        rope = config["rope_scaling"] | {"rope_theta": config["rope_theta"]}
        write_json(folder / "config_v5.json", new | {"dtype": config["torch_dtype"], "rope_parameters": rope})
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return
    files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    shards = {name: files[name >= SHARD_BREAK] for name in sorted(tensors)}
    for file in files:
        save_file({n: t for n, t in tensors.items() if shards[n] == file}, folder / file, {"format": "pt"})
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": shards})


def padded(sequences: list[list[int]], fill: int) -> torch.Tensor:
    width = max(map(len, sequences))
    return torch.tensor([s + [fill] * (width - len(s)) for s in sequences])


def labels(prompts: list[int]) -> torch.Tensor:
    """The tokens themselves, -100 where nothing is to be predicted."""
    return padded([[-100] * p + s[p:] for p, s in zip(prompts, SEQUENCES)], -100)


def mean_loss(logits, targets):
    """Position t predicts token t + 1; the mean over the targets there are."""
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)


def load(folder: Path):
    model, info = LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", output_loading_info=True
    )
    # A key that is missing would have been filled with random numbers.
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval()


def golden_tensors(folder: Path, config: dict) -> dict[str, torch.Tensor]:
    model = load(folder)
    ids, mask = padded(SEQUENCES, 0), padded([[1] * len(s) for s in SEQUENCES], 0)
    kept = mask.bool()
    with torch.no_grad():
        unchanged = model(ids, attention_mask=mask, labels=labels([0, 0]))
    slow = model.model.rotary_emb.inv_freq
    assert torch.allclose(slow.double(), frequencies(config), rtol=3e-7, atol=0), "RoPE's frequencies differ"

    model = model.double()
    model.model.rotary_emb = Rotary64(config)
    for module in model.modules():
        if isinstance(module, modeling_llama.LlamaRMSNorm):
            module.__class__ = RMSNorm64
    out = model(ids, attention_mask=mask, output_hidden_states=True)
    assert out.logits.dtype == torch.float64
    assert torch.allclose(out.logits[kept].float(), unchanged.logits[kept], rtol=0, atol=2e-5)
    losses = {"": mean_loss(out.logits, labels([0, 0])), "completion.": mean_loss(out.logits, labels(PROMPTS))}
    assert abs(losses[""].item() - unchanged.loss.item()) < 1e-5
    for row, sequence in enumerate(SEQUENCES):  # a sequence on its own, without padding or mask
        alone = model(torch.tensor([sequence])).logits[0]
        assert torch.allclose(alone, out.logits[row, : len(sequence)], rtol=0, atol=1e-13)

    tensors = {"logits": out.logits[kept]} | {f"hidden.{i}": h[kept] for i, h in enumerate(out.hidden_states)}
    parameters = dict(model.named_parameters())
    for prefix, loss in losses.items():
        gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
        tensors[f"{prefix}loss"] = loss.reshape(1)
        tensors |= {f"{prefix}grad.{name}": g for name, g in zip(parameters, gradients)}
    for prefix, prompts in (("", [0, 0]), ("completion.", PROMPTS)):
        gradients = {name: tensors[f"{prefix}grad.{name}"] for name in parameters}
        verify_gradient(model, ids, mask, labels(prompts), gradients)
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def verify_gradient(model, ids, mask, targets, gradients) -> None:
    """Autograd agrees with a central difference in one random direction for each weight."""
    step = 1e-6
    for stream, (name, parameter) in enumerate(model.named_parameters()):
        direction = torch.from_numpy(grid(500 + stream, parameter.numel()) / 1000).reshape(parameter.shape)
        losses, here = [], parameter.detach().clone()
        with torch.no_grad():
            for sign in (1, -1):
                parameter.copy_(here + sign * step * direction)
                losses.append(mean_loss(model(ids, attention_mask=mask).logits, targets).item())
            parameter.copy_(here)
        slope, expected = (losses[0] - losses[1]) / (2 * step), (gradients[name] * direction).sum().item()
        # The difference cancels: an f64 loss of about 4 divided by 2e-6 leaves 1e-9, and h^2 f''' less than that.
        assert abs(slope - expected) < 1e-7, f"{name}: {slope} against {expected}"


def write_all(out: Path) -> None:
    for name, config in CONFIGS.items():
        write_folder(out / name, config)
        case = {
            "model": name, "sequences": SEQUENCES, "completion_prompts": PROMPTS,
            "provenance": provenance(__file__, ["numpy", "safetensors", "torch", "transformers"]),
        }  # fmt: skip
        metadata = {"case": json.dumps(case, sort_keys=True, separators=(",", ":"))}
        save_file(golden_tensors(out / name, config), out / f"{name}.safetensors", metadata)


def check_v5(folder: Path) -> None:
    """The two spellings of the configuration are the same model."""
    with tempfile.TemporaryDirectory() as other:
        (Path(other) / "config.json").write_text((folder / "config_v5.json").read_text())
        (Path(other) / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
        ids = torch.tensor([SEQUENCES[0]])
        with torch.no_grad():
            assert torch.equal(load(Path(other))(ids).logits, load(folder)(ids).logits), "config_v5.json differs"


def files_of(root: Path) -> dict[str, dict]:
    """Every file this script writes, as something `differences` can compare."""
    contents = {}
    for name in CONFIGS:
        for path in [*sorted((root / name).iterdir()), root / f"{name}.safetensors"]:
            if path.suffix == ".json":
                contents[f"{path.relative_to(root)}"] = json.loads(path.read_text())
                continue
            tensors = {key: tensor.tolist() for key, tensor in load_file(path).items()}
            with safe_open(path, "pt") as file:
                case = json.loads((file.metadata() or {}).get("case", "{}"))
            contents[f"{path.relative_to(root)}"] = tensors | {k: v for k, v in case.items()}
    return contents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="where the files are (default: tests/golden)")
    arguments = parser.parse_args()
    if not arguments.check:
        write_all(arguments.out)
        check_v5(arguments.out / "tiny_llama_tied")
        print("wrote", *CONFIGS)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_all(Path(folder))
        check_v5(Path(folder) / "tiny_llama_tied")
        now, committed = files_of(Path(folder)), files_of(arguments.out)
    # The weights are a recipe and must be equal; the rest is f64 through two layers.
    same = [
        report(
            name,
            differences(committed.get(name, {}), now.get(name, {}), lambda _, e=name: 0.0 if "/" in e else 1e-11),
        )
        for name in sorted(committed.keys() | now.keys())
    ]
    if not all(same):
        sys.exit(1)


if __name__ == "__main__":
    main()
