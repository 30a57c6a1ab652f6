#!/usr/bin/env bash
# Checks and times the GPU path: `./run.sh --help` says what may be said. The rows land in $OUT/gpu.jsonl (here, where OUT is not
# set), their tables in gpu.md, the log in gpu.log. PYTHON is a Python with torch and peft.
set -uo pipefail
# OUT counts from where the user stands, all else from here.
out="${OUT:-$(dirname "$0")}"
mkdir -p -- "$out" || exit
out="$(realpath -- "$out")" || exit
cd "$(dirname "$0")" || exit
./gpu-check run --out "$out/gpu.jsonl" "$@" 2>&1 | tee "$out/gpu.log"
exit "${PIPESTATUS[0]}"
