#!/usr/bin/env bash
# Checks and times the GPU path: `./run.sh --help` says what may be said. The rows land in $OUT/gpu.jsonl (here, where OUT is not
# set), their tables in gpu.md, the log in gpu.log. PYTHON is a Python with torch and peft.
set -uo pipefail
cd "$(dirname "$0")" || exit
out="${OUT:-.}"
./gpu-check run --out "$out/gpu.jsonl" "$@" 2>&1 | tee "$out/gpu.log"
exit "${PIPESTATUS[0]}"
