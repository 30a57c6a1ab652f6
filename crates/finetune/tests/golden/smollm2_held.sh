#!/bin/sh
# What one step on SmolLM2 holds, as `lowrank` counts it from the arrays that were there: smollm2_held.jsonl.
# From the workspace's root: sh crates/finetune/tests/golden/smollm2_held.sh SmolLM2-135M-Instruct.Q4_1.gguf
set -e
model=$1
lowrank=${LOWRANK:-cargo run --quiet --release -p lowrank-cli --}
folder=$(mktemp -d)
cp README.md "$folder/text.txt"
for method in full lora lora-fa vera delta-lora lora-plus dora; do
    for targets in q_proj,v_proj all-linear; do
        options="--targets $targets"
        if [ $method = full ]; then
            [ $targets = all-linear ] && continue
            options=
        fi
        # Two blocks of 48 tokens, whichever: a text's content does not matter.
        line=$($lowrank finetune --model "$model" --data "$folder/text.txt" --seq-len 48 --batch 2 --steps 1 \
            --method $method $options --format json --out "$folder/$method-$targets" | tail -n 1)
        echo "{\"method\":\"$method\",\"targets\":\"$targets\",\"lengths\":[48,48],\"held\":$line}"
    done
done
rm -r "$folder"
