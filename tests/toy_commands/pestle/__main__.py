"""What studies need of `pestle finetune` and `pestle qualify`, in a fraction of a second.

A run makes updates, writes a checkpoint after each, goes on where it was stopped, and ends with a
figure that depends on its settings and on every update. A rate above 1 fails. With PESTLE_TOY_KILL
a run kills itself, once, as a system without memory does. With PESTLE_TOY_IDLE=COMMAND this command
says something and ends well without doing anything.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import yaml

stopped = []


def stop(number: int, _: FrameType | None) -> None:
    stopped.append(number)


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def finetune(arguments: list[str]) -> int:
    out = Path(arguments[arguments.index("-o") + 1])
    if "--dry-run" in arguments:
        out.with_name(f"{out.name}.labels.partial").write_text("labels")
        return 0
    out.mkdir(parents=True, exist_ok=True)
    lock = (out / ".pestle.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"error: {out}: another command writes to it")
        return 2
    if "--resume" not in arguments:
        text = Path(arguments[0]).read_text()
        (out / "run.yaml").write_text(text)
    asked = yaml.safe_load((out / "run.yaml").read_text())
    if (asked["train"]["lr"] or 0) > 1:
        print("error: the loss is not finite")
        return 2
    checkpoint, labels = (
        out / "checkpoints" / "last.json",
        out.with_name(f"{out.name}.labels.partial"),
    )
    state = {"update": 0, "value": 0.0, "labels": labels.exists()}
    if checkpoint.exists():
        state = json.loads(checkpoint.read_text())
    while state["update"] < asked["train"]["updates"]:
        time.sleep(0.01)
        state["update"] += 1
        state["value"] = 0.9 * state["value"] + asked["train"]["seed"] + state["update"] % 7
        write(checkpoint, state)
        if "PESTLE_TOY_KILL" in os.environ and state["update"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if stopped:
            return 130
    write(out / "manifest.json", {"status": "finished", **state})
    return 0


def qualify(arguments: list[str]) -> int:
    run = Path(arguments[0])
    foundation = run / "protocols" / "md" / "raw" / "pestle-seed0" / "0123456789ab"
    own = run / "protocols" / "md" / "raw" / run.name / "ba9876543210"
    calculated = not (foundation / "done.json").exists()
    # What a foundation takes is as long as several trainings.
    time.sleep(0.5 if calculated else 0.0)
    for folder in (foundation, own):
        write(folder / "done.json", {})
    write(run / "verdict.json", {"foundation_calculated": calculated})
    return 0


for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
name, *rest = sys.argv[1:]
if os.environ.get("PESTLE_TOY_IDLE") == name:
    print("python: not found")
    sys.exit(0)
sys.exit({"finetune": finetune, "qualify": qualify}[name](rest))
