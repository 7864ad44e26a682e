"""`whatwhere plan` against what the jobs then took, on a small copy of the embedded run."""

import json
import subprocess
import sys

import pytest

from tests.workflow.test_workflow import Project
from whatwhere.artifacts.job import spent

pytestmark = pytest.mark.slow
#: By how much a plan may be wrong; the machine of a test is busy with others, so that one of three tries counts.
WITHIN, TRIES = 1.5, 3


def planned(project, seconds):
    command = [sys.executable, "-m", "whatwhere.app.cli", "plan", "--json", "--measure", str(seconds)]
    done = subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def taken(project):
    logs = [spent(log) for log in (project.folder / "results" / "small" / "logs").rglob("*.log")]
    assert logs
    assert all(logs)
    return len(logs), sum(log.seconds for log in logs)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Plans made from nothing, the count and seconds of the jobs that followed, and the plans that their logs make."""
    found = []
    for number in range(TRIES):
        project = Project(tmp_path_factory.mktemp(f"plan{number}"))
        before = planned(project, 60)
        project.run()
        found.append((before, *taken(project), planned(project, 0)))
        if fits(before, found[-1][2]):
            break
    return found


def fits(plan, seconds):
    return plan["totals"]["low_s"] / WITHIN <= seconds <= plan["totals"]["high_s"] * WITHIN


def test_a_plan_measured_here_is_what_the_jobs_take(tried):
    assert any(fits(before, seconds) for before, _, seconds, _ in tried), [
        (before["totals"], seconds) for before, _, seconds, _ in tried
    ]


def test_a_plan_knows_every_job_and_its_logs(tried):
    for before, jobs, seconds, after in tried:
        assert before["totals"]["jobs"] == jobs
        assert {one["source"] for one in before["jobs"]} == {"measured"}
        assert {one["source"] for one in after["jobs"]} == {"logs of small"}
        assert after["totals"]["low_s"] == pytest.approx(seconds, rel=0.02)
        assert after["totals"]["high_s"] == pytest.approx(seconds, rel=0.02)
