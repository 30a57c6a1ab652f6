"""What transformers makes of two ways to describe the tokens of tokenizer.json: prints the numbers that tests/it/tokenizer.rs
(`what_the_config_says_of_a_token_goes_before`) and the crate's README have.

    python crates/llama/tests/golden/added.py        (transformers, of tests/parity/requirements.txt; no torch)
"""

import json
import shutil
import tempfile
from pathlib import Path

import transformers
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent


def tokens(text: str, config: dict, special: bool = True) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "tokenizer.json", folder)
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
        return AutoTokenizer.from_pretrained(folder).encode(text, add_special_tokens=special)


print("transformers", transformers.__version__)
for rstrip in (False, True):
    end = {"content": "</s>", "special": True, "normalized": False, "rstrip": rstrip}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {"2": end}}
    print(f"rstrip {rstrip}:", tokens("the</s>\nthe", config))
roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
for legacy in (True, False):
    config = {"tokenizer_class": "LlamaTokenizer", "legacy": legacy} | roles
    print(f"LlamaTokenizer, legacy {legacy}, <s>the:", tokens("<s>the", config, special=False))
