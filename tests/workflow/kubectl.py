"""As much of `kubectl` as `profiles/kubernetes` asks for, its cluster this machine: `kubectl.py FOLDER WORD …`.

A Job is a process group that holds a lock as long as any of it lives; what it was asked for lies in `FOLDER/NAME.json`.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path


def create(folder: Path) -> None:
    """Starts the script of the Job that standard input describes, as a cluster would: by itself, by its own Python."""
    job = json.load(sys.stdin)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    name = f"{job['metadata']['generateName']}{len(list(folder.glob('*.json')))}"
    *shell, script = container["command"]
    own_script = folder / f"{name}.sh"
    own_script.write_text(Path(script).read_text().replace(f"{sys.executable} -m", f"{folder / 'python'} -m"))
    said = 'echo $$ > "$0.leader"; "$@" > "$0.out" 2>&1; echo $? > "$0.ended"'
    command = ["setsid", "flock", folder / f"{name}.lock", "sh", "-c", said, folder / name, *shell, own_script]
    own = {one["name"]: one["value"] for one in container["env"]}
    nothing = subprocess.DEVNULL
    subprocess.Popen(
        command, cwd=container["workingDir"], env=os.environ | own, stdin=nothing, stdout=nothing, stderr=nothing
    )
    (folder / f"{name}.json").write_text(json.dumps(job))
    print(f"job.batch/{name}")


def get(folder: Path, name: str) -> None:
    """Its name and what became of it; nothing of a Job that there is not."""
    if not (folder / f"{name}.json").exists():
        return
    ended = folder / f"{name}.ended"
    with (folder / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name} ")
            return
    print(name, "Complete" if ended.exists() and ended.read_text().strip() == "0" else "Failed")


if __name__ == "__main__":
    place, word = Path(sys.argv[1]), sys.argv[2]
    if word == "create":
        create(place)
    elif word == "get":
        get(place, sys.argv[3].removeprefix("job.batch/"))
    else:
        sys.exit(f"kubectl: expected create or get, got {word}")
