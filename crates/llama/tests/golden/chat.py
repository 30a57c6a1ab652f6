"""Chat templates in the manner of the models people use, and what transformers renders with them.

    python crates/llama/tests/golden/chat.py

writes chat.json beside itself: the templates of chat_templates.py, conversations, and for every pair of them the text
that `render_jinja_template` makes, with what `{% generation %}` marks, or that it refuses. Expressions of the language
are rendered the same way. Needs transformers and jinja2. The same versions give the same file.
"""

import datetime
import importlib.metadata
import json
from pathlib import Path

from chat_templates import EXPRESSIONS, TEMPLATES
from transformers.utils import chat_template_utils

HERE = Path(__file__).resolve().parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
NOW = datetime.datetime(2024, 7, 6)

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather <now> at a place & says \"why\"",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "Où?"}, "days": {"type": "integer", "default": 1}},
            "required": ["place"],
        },
    },
}


def say(role: str, content: object, **more: object) -> dict:
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "id": "a1b2c3d4e", "function": {"name": "weather", "arguments": {"place": "Zürich", "days": 2}}}
CONVERSATIONS = [
    {"messages": [say("user", "What is 2 + 2?")], "open": True},
    {"messages": [say("user", " Hi\n"), say("assistant", "\nHello! ")]},
    {
        "messages": [
            say("system", "Be short."),
            say("user", "Name a colour."),
            say("assistant", "Blue."),
            say("user", "Another one, it's \"easy\" <b>&</b>"),
        ],
        "open": True,
    },
    {
        "messages": [
            say("system", "Sei kurz."),
            say("user", "Erkläre ½ 👍🏽"),
            say("assistant", "<think>\nHm.\n</think>\n\nEin Halb."),
            say("user", "Und ⅓?"),
            say("assistant", "Ein Drittel."),
        ],
    },
    {
        "messages": [
            say("user", "Weather in Zürich?"),
            say("assistant", "", tool_calls=[CALL]),
            say("tool", "{\"rain\": true}", name="weather", tool_call_id="a1b2c3d4e"),
        ],
        "open": True,
        "more": {"tools": [TOOL]},
    },
    {"messages": [say("user", [{"type": "text", "text": "Parts"}, {"type": "text", "text": " of it"}]), say("assistant", "Yes.")]},
    {"messages": [say("assistant", "I begin."), say("user", "No, I.")], "open": True},
    {"messages": [say("user", "So?"), say("assistant", "So.", reasoning="Hm."), say("user", "And?"), say("assistant", "And.", thinking="H")]},
    {"messages": [say("user", "Think?")], "open": True, "more": {"enable_thinking": False, "documents": [{"title": "T", "text": "D"}]}},
]


class Now(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def render(template: str, conversation: dict) -> dict:
    more = dict(conversation.get("more", {}))
    try:
        (text,), (generated,) = chat_template_utils.render_jinja_template(
            [conversation["messages"]],
            chat_template=template,
            tools=more.pop("tools", None),
            documents=more.pop("documents", None),
            add_generation_prompt=conversation.get("open", False),
            return_assistant_tokens_mask=True,
            **SPECIAL,
            **more,
        )
    except Exception as error:  # whatever Jinja raises, the row is refused
        return {"refused": type(error).__name__}
    # Characters there, bytes here.
    generated = [[len(text[:place].encode()) for place in span] for span in generated]
    return {"text": text, "generated": generated}


def main() -> None:
    chat_template_utils.datetime = Now
    chat_template_utils.logger.setLevel("ERROR")
    templates = [
        {"name": name, "template": template, "rendered": [render(template, conversation) for conversation in CONVERSATIONS]}
        for name, template in TEMPLATES.items()
    ]
    variables = CONVERSATIONS[4] | {"more": CONVERSATIONS[4]["more"]}
    expressions = [{"template": text, "rendered": [render(text, variables)]} for text in EXPRESSIONS]
    versions = {name: importlib.metadata.version(name) for name in ["transformers", "jinja2"]}
    document = {
        "provenance": {"script": "crates/llama/tests/golden/chat.py", "versions": versions},
        "special": SPECIAL,
        "date": NOW.date().isoformat(),
        "conversations": CONVERSATIONS,
        "templates": templates,
        "expressions": expressions,
    }
    text = json.dumps(document, indent=None, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    (HERE / "chat.json").write_text(text + "\n")
    refused = sum("refused" in case for row in templates for case in row["rendered"])
    print(f"{len(templates)} templates, {len(expressions)} expressions, {refused} refusals, {len(text)} bytes")


if __name__ == "__main__":
    main()
