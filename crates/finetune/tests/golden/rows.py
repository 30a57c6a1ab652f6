"""Rows as tokens and the mask of what is learnt, by transformers' tokenizers and TRL's rule.

    python crates/finetune/tests/golden/rows.py

writes rows.json beside itself. TRL's rule (SFTTrainer since 0.20): the prompt alone and the prompt with its completion
are tokenised; as many tokens as the prompt has are masked; a plain text gets the end-of-text token if it lacks it. Masks
of conversations are what `{% generation %}` marks when transformers renders the template. Special tokens that a row
spells out itself count once: what is expected is the same row without them. Needs transformers.
"""

import importlib.metadata
import json
from pathlib import Path

from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[2] / "llama/tests/golden/tokenizer.json"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

CHATML = (
    "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
# The same text, and what the assistant says is marked up to the next turn.
MARKED = (
    "{% for m in messages %}[{{ m.role }}]\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>{{ '\n' }}"
    "{% endgeneration %}{% else %}{{ m.content }}</s>{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
# As DeepSeek-R1's: asked to speak, the model begins with a thought; what it said is written without.
THINKS = (
    "{{ bos_token }}{% for m in messages %}{{ '<U>' if m.role == 'user' else '<A>' }}{{ m.content }}"
    "{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<A><think>{{ '\n' }}{% endif %}"
)
# As Qwen 3's: the last answer has an empty thought before it, and the earlier ones do not.
LAST_THINKS = (
    "{% for m in messages %}[{{ m.role }}]\n{% if m.role == 'assistant' %}__OPEN__{% if loop.last %}<think></think>{{ '\n\n' }}"
    "{% endif %}{{ m.content }}</s>{{ '\n' }}__CLOSE__{% else %}{{ m.content }}</s>{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


def marks(template: str, kept: bool) -> str:
    opening, closing = ("{% generation %}", "{% endgeneration %}") if kept else ("", "")
    return template.replace("__OPEN__", opening).replace("__CLOSE__", closing)


def say(role: str, content: str) -> dict:
    return {"role": role, "content": content}


TURNS = [say("system", "On the other"), say("user", "2+2="), say("assistant", "4"), say("user", "1+1="), say("assistant", " 2, é")]


def tokenizer(template: str | None = None) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_file=str(SOURCE), chat_template=template, **SPECIAL)


def pair(prompt: str, completion: str) -> dict:
    """A plain prompt and completion."""
    t = tokenizer()
    given = t(prompt)["input_ids"]
    whole = t(prompt + completion + "</s>")["input_ids"]
    return by_length(given, whole)


def chat(template: str, prompt: list, completion: list) -> dict:
    """TRL's conversational prompt and completion."""
    t = tokenizer(template)
    given = t.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = t.apply_chat_template(prompt + completion, return_dict=True)["input_ids"]
    return by_length(given, whole)


def by_length(given: list[int], whole: list[int]) -> dict:
    return {
        "tokens": whole,
        "learnt": [int(i >= len(given)) for i in range(len(whole))],
        "shifted": whole[: len(given)] != given,
    }


def masked(template: str, messages: list) -> dict:
    """Messages, by the marks of the template: the tokens that stand for any character between them.

    transformers' own mask ends with the *first* token of the last character. Where that is spread over several tokens
    (bytes, a space that SentencePiece puts before it), the rest is learnt here too.
    """
    t = tokenizer(template)
    theirs = t.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    (text,), (spans,) = render_jinja_template([messages], chat_template=template, return_assistant_tokens_mask=True, **SPECIAL)
    ours = t(text, add_special_tokens=False, return_offsets_mapping=True)
    learnt = [0] * len(ours["input_ids"])
    for start, end in spans:
        inside = [i for i, (a, b) in enumerate(ours["offset_mapping"]) if a < end and b > start]
        for i in range(inside[0], inside[-1] + 1):
            learnt[i] = 1
    assert ours["input_ids"] == theirs["input_ids"]
    for i, (mine, other) in enumerate(zip(learnt, theirs["assistant_masks"])):
        assert mine == other or (mine and ours["offset_mapping"][i][1] in [end for _, end in spans])
    return {"tokens": ours["input_ids"], "learnt": learnt, "shifted": False}


def main() -> None:
    cases = []

    def add(row: dict, expected: dict, template: str | None = None, around: str = "bos", train_on: str = "assistant") -> None:
        cases.append({"row": row, "template": template, "around": around, "train_on": train_on, **expected})

    for prompt, completion in [("2+2=", "4"), ("the ", "the on"), ("the", "n"), ("", "12"), ("é\n", "\n1"), ("2+2= ", "4")]:
        expected = pair(prompt, completion)
        for around in ["bos", "both", "none"]:
            row = expected if around != "none" else {
                **expected, "tokens": expected["tokens"][1:], "learnt": expected["learnt"][1:],
            }
            add({"prompt": prompt, "completion": completion}, row, around=around)
        add({"prompt": "<s>" + prompt, "completion": completion}, pair_spelled(prompt, completion))
        add({"prompt": prompt, "completion": completion + "</s>"}, expected, around="both")
    whole = tokenizer()("a text, the text</s>")["input_ids"]
    add({"text": "a text, the text"}, {"tokens": whole, "learnt": [1] * len(whole), "shifted": False}, around="both")
    expected = pair("2+2=", "4")
    add({"prompt": "2+2=", "completion": "4"}, {**expected, "learnt": [1] * len(expected["learnt"])}, train_on="all")

    user, answer = say("user", "2+2="), say("assistant", "4")
    # Longer than the thought that it does not have.
    long = say("assistant", "the sum is 4")
    for template in [CHATML, MARKED, THINKS]:
        expected = chat(template, [user], [long])
        add({"prompt": [user], "completion": [long]}, expected, template)
        add({"prompt": "2+2=", "completion": long["content"]}, expected, template)
    add({"messages": [user, long]}, chat(THINKS, [user], [long]), THINKS)
    add({"prompt": "2+2=", "completion": "\n4"}, chat(CHATML, [user], [say("assistant", "\n4")]), CHATML)

    expected = masked(MARKED, TURNS)
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    sharegpt = [{"from": names[turn["role"]], "value": turn["content"]} for turn in TURNS]
    assert expected["tokens"] == tokenizer(CHATML).apply_chat_template(TURNS, return_dict=True)["input_ids"]
    for template in [CHATML, MARKED]:
        add({"messages": TURNS}, expected, template)
        add({"conversations": sharegpt}, expected, template)
        add({"conversations": sharegpt[1:], "system": "On the other"}, expected, template)
        start = max(i for i, learnt in enumerate(expected["learnt"]) if learnt and not expected["learnt"][i - 1])
        last = [int(bool(learnt) and i >= start) for i, learnt in enumerate(expected["learnt"])]
        add({"messages": TURNS}, {**expected, "learnt": last}, template, train_on="last")
        add({"messages": TURNS}, {**expected, "learnt": [1] * len(last)}, template, train_on="all")
    expected = masked(marks(LAST_THINKS, True), TURNS)
    add({"messages": TURNS}, expected, marks(LAST_THINKS, False))
    add({"messages": TURNS}, expected, marks(LAST_THINKS, True))

    alpaca = {"instruction": "Add", "input": "2+2", "output": "4"}
    expected = chat(CHATML, [say("user", "Add\n\n2+2")], [answer])
    add(alpaca, expected, CHATML)
    expected = chat(CHATML, [TURNS[0], say("user", "Add")], [answer])
    add({"instruction": "Add", "input": "", "output": "4", "system": "On the other", "id": 7}, expected, CHATML)
    add(alpaca, pair("Add\n\n2+2\n\n", "4"))

    versions = {name: importlib.metadata.version(name) for name in ["transformers", "tokenizers"]}
    document = {
        "provenance": {"script": "crates/finetune/tests/golden/rows.py", "versions": versions},
        "special": SPECIAL,
        "cases": cases,
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    (HERE / "rows.json").write_text(text + "\n")
    print(f"{len(cases)} cases, {len(text)} bytes")


def pair_spelled(prompt: str, completion: str) -> dict:
    """The prompt spells `<s>` out, so that its text follows a special token: without the one that is put before it."""
    t = tokenizer()
    given = t("<s>" + prompt, add_special_tokens=False)["input_ids"]
    whole = t("<s>" + prompt + completion + "</s>", add_special_tokens=False)["input_ids"]
    return by_length(given, whole)


if __name__ == "__main__":
    main()
