"""A small SentencePiece-like `tokenizer.json`, as Llama 2's: written by hand, so that tests of files have one.

    python crates/llama/tests/golden/tokenizer.py

writes tokenizer.json beside itself: bytes, single characters, a few merges, a dummy prefix, `<s>` before every text.
Needs tokenizers. The same version gives the same file.
"""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

HERE = Path(__file__).resolve().parent
SPECIAL = ["<unk>", "<s>", "</s>"]
MERGES = [("▁", "a"), ("t", "h"), ("th", "e"), ("▁", "the"), ("1", "2"), ("▁", "4"), ("=", "4"), ("o", "n"), ("▁", "▁")]


def main() -> None:
    characters = ["▁"] + [chr(code) for code in range(33, 127)]
    tokens = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)] + characters + ["".join(pair) for pair in MERGES]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocabulary, MERGES, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)


if __name__ == "__main__":
    main()
