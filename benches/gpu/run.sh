#!/usr/bin/env bash
# Check the GPU path, then time it. Everything lands in $OUT (here, if it is not set).
# PYTHON is a Python with torch and peft; without it only our own side is timed.
set -uo pipefail
cd "$(dirname "$0")"
out="${OUT:-.}"
export LOWRANK_REQUIRE_GPU=1
./gpu-check --vectors vectors 2>&1 | tee "$out/gpu-check.txt"
status=${PIPESTATUS[0]}
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck; do
        compute-sanitizer --tool "$tool" --error-exitcode 3 ./gpu-check --vectors vectors --quick \
            2>&1 | tee "$out/$tool.txt"
        [ "${PIPESTATUS[0]}" = 0 ] || status=1
    done
else
    echo "SKIPPED compute-sanitizer is not on PATH"
fi
if [ "${1:-}" != "--no-bench" ]; then
    ./gpu-bench --out "$out/gpu-bench.json" ${PYTHON:+--python "$PYTHON"} 2>&1 | tee "$out/gpu-bench.txt"
    [ "${PIPESTATUS[0]}" = 0 ] || status=1
fi
exit "$status"
