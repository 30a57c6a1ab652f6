"""The line protocol of README.md: one timed run for each line `run`, so that a driver can alternate two programs."""

import importlib.metadata
import json
import sys
import time
from pathlib import Path


def say(**message) -> None:
    print(json.dumps(message), flush=True)


def status_bytes(field: str) -> int:
    """VmRSS, the resident size, or VmHWM, the largest there was (Linux only)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def reset_peak_rss() -> bool:
    """Let VmHWM start again from the present size; false where the kernel does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:
        return False


def serve(step, settings: dict, warm_up: int, packages: tuple = ("peft", "torch")) -> None:
    """Warm up, say `ready`, then answer `run` and `quit`. `step` does one run and may return fields to report."""
    loading, loaded = status_bytes("VmHWM"), status_bytes("VmRSS")
    alone = reset_peak_rss()
    for _ in range(warm_up):
        step()
    say(ready=True, settings=settings, versions={name: importlib.metadata.version(name) for name in packages})
    for line in sys.stdin:
        command = line.strip()
        if command == "run":
            start = time.perf_counter()
            fields = step() or {}
            say(seconds=time.perf_counter() - start, **fields)
        elif command == "quit":
            break
        elif command:
            say(error=f"unknown command {command!r}: this program knows `run` and `quit`")
            sys.exit(2)
    running = status_bytes("VmHWM")
    say(
        peak_rss_bytes=max(loading, running),
        loaded_rss_bytes=loaded,
        run_peak_rss_bytes=running if alone else None,
    )
