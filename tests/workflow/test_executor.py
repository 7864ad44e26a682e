"""Jobs that are submitted by the profile for Kubernetes, the cluster this machine: results, and killed jobs."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.test_workflow import SMALL, Project, python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("flock"), reason="flock is not installed: of util-linux, as setsid"),
]

ROW = {"labels": ["tiny", "exact"], "backbone": "tiny", "method": "exact"}
#: So many images that a job can be met among them.
MANY = {
    "datasets": {"scenes": {**SMALL["datasets"]["scenes"], "images": 16}},
    "features": {"run_images": 1},
    "tables": {"table1": {**SMALL["tables"]["table1"], "rows": [ROW]}},
    "figures": {},
}
SUBMITTED = ("--profile", "profiles/kubernetes", "--jobs", "2", "--seconds-between-status-checks", "1")


class Cluster:
    """A `kubectl` whose cluster is this machine, and what was submitted to it."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self._command("kubectl", sys.executable, "-I", "-S", str(Path(__file__).with_name("kubectl.py")), str(folder))
        # what Jobs run in: a Python whose processes begin as forks, so that none imports what all import
        self._command("python", *python())

    def _command(self, name, *words):
        file = self.folder / name
        file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        file.chmod(0o755)

    def jobs(self):
        """Every Job by its name, as it was asked for."""
        return {path.stem: json.loads(path.read_text()) for path in self.folder.glob("*.json")}

    def rules(self):
        """How often jobs of each rule were submitted."""
        found = {}
        for job in self.jobs().values():
            (container,) = job["spec"]["template"]["spec"]["containers"]
            rule = re.search(r"snakejob\.(\w+)\.", container["command"][-1])[1]
            found.setdefault(rule, []).append(container)
        return found

    def kill(self, rule):
        """Kills the processes of a rule's last Job."""
        name = max(
            (name for name, job in self.jobs().items() if f"snakejob.{rule}." in json.dumps(job)),
            key=lambda name: int(name.rpartition("-")[2]),
        )
        os.killpg(os.getpgid(int((self.folder / f"{name}.leader").read_text())), signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    found = Cluster(tmp_path / "cluster")
    monkeypatch.setenv("PATH", str(found.folder), prepend=os.pathsep)
    monkeypatch.setenv("WHATWHERE_IMAGE", "registry/whatwhere:1")
    monkeypatch.setenv("WHATWHERE_VOLUME", f"photos:{tmp_path}")
    return found


def submitted(project, *arguments):
    """A run whose jobs are submitted, going on."""
    return project.begun(*SUBMITTED, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def killed_at(process, cluster, rule, sign):
    """Kills a rule's job once a file is there; what the run said, and its status."""
    deadline = time.monotonic() + 600
    while not sign():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cluster.kill(rule)
    said, _ = process.communicate()
    return said, process.returncode


def test_submitted_jobs_give_the_same_results_also_when_some_are_killed(cluster, tmp_path):
    """One is killed in a run that does not try again, which then is taken up, and one in a run that does."""
    here = Project(tmp_path / "here", **MANY)
    here.run()
    there = Project(tmp_path / "there", **MANY)
    results = there.folder / "results/small"

    def begun(stage):
        return lambda: list(results.glob(f"{stage}/**/*.zarr.partial/**/c/*"))

    said, status = killed_at(submitted(there, "--retries", "0"), cluster, "features", begun("features"))
    assert status == 1, said
    first = cluster.rules()
    assert {"index", "images", "features"} <= first.keys()
    target = "results/small/regions/scenes/tiny/exact/64x64-000.json"
    said, status = killed_at(submitted(there, target), cluster, "regions", begun("regions"))
    assert status == 0, said
    assert len(cluster.rules()["regions"]) == 2  # the second time for the first
    assert "Trying to restart job" in said
    assert not cluster.rules().keys() & there.planned()
    there.run()
    assert there.contents() == here.contents()
    assert not list(results.rglob("*.partial"))
    asked = {rule: of[0]["resources"]["requests"] for rule, of in cluster.rules().items()}
    assert asked["features"] == {"cpu": "1", "memory": "24000M"}
    assert asked["index"] == {"cpu": "1", "memory": "8000M"}
