//! The examples at the end of each verb's help. A test runs them one after the other: each finds what those before it wrote.

/// By verb: a command, and what it is for. `model` is a model's folder, file or hub id.
const EXAMPLES: [(&str, &[[&str; 2]]); 9] = [
    (
        "finetune",
        &[
            [
                "lowrank finetune --steps 200 --out adapter",
                "LoRA on the embedded model, which learns to sort the other way round",
            ],
            [
                "lowrank finetune --model model --data rows.jsonl --epochs 2 --rank 16 --alpha 32 --targets all-linear --out style",
                "LoRA on every projection of a model, on rows of your own",
            ],
            [
                "lowrank finetune --model model --data rows.jsonl --method vera --rank 64 --eval-data rows.jsonl --eval-every 20 --out vera",
                "VeRA; the state that does best on held-out rows is kept too",
            ],
            [
                "lowrank finetune --config adapter/run.toml --seed 1 --out again",
                "The options of an earlier run, with another seed",
            ],
            [
                "lowrank finetune --config vera/run.toml --resume vera --steps 400",
                "Go on with a run, for more steps",
            ],
        ],
    ),
    (
        "compare",
        &[[
            "lowrank compare --methods lora,dora,vera --seeds 1 --out compared",
            "Three methods on the embedded model: a table, and plots in the folder",
        ]],
    ),
    (
        "generate",
        &[
            ["lowrank generate --prompt \"31415926>\" --adapter adapter", "With an adapter"],
            [
                "lowrank generate --model model --prompt \"31415926>\" --temperature 0.7 --top-p 0.9 --seed 1",
                "Drawn at random from the likeliest tokens",
            ],
        ],
    ),
    (
        "merge",
        &[[
            "lowrank merge --model model --adapter style --dtype bf16 --out merged",
            "A folder that transformers loads",
        ]],
    ),
    (
        "inspect",
        &[
            ["lowrank inspect style", "What an adapter is made of"],
            [
                "lowrank inspect adapter again --model model --svg spectrum.svg",
                "How alike two are, what a merge in bf16 would lose, and a picture",
            ],
        ],
    ),
    (
        "extract",
        &[[
            "lowrank extract --base model --tuned merged --energy 0.99 --out extracted",
            "What fine-tuning changed, but for 10% of its norm, as an adapter",
        ]],
    ),
    ("resize", &[["lowrank resize style --rank 4 --out smaller", "The nearest adapter of rank 4"]]),
    (
        "combine",
        &[[
            "lowrank combine adapter:0.7 again:0.3 --rank 8 --out both",
            "A weighted sum, cut off at rank 8",
        ]],
    ),
    ("plot", &[["lowrank plot adapter again --out losses.svg", "The losses of two runs"]]),
];

/// The command line with the examples in its help.
pub fn with(command: clap::Command) -> clap::Command {
    EXAMPLES.into_iter().fold(command, |command, (verb, examples)| {
        let text: Vec<String> =
            examples.iter().map(|[line, purpose]| format!("  {line}\n      {purpose}")).collect();
        let text = format!("Examples:\n{}", text.join("\n"));
        command.mut_subcommand(verb, |verb| verb.after_help(text))
    })
}
