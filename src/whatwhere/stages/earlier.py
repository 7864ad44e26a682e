"""What lies in the folder of a run: what its jobs took, and with which settings they ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whatwhere.artifacts.job import log_of, spent
from whatwhere.artifacts.store import read_json
from whatwhere.config import Config
from whatwhere.stages.task import Place

#: Settings of a data set that say how much of it there is: a job on another part of it is alike.
PARTS = ("images", "first_seed", "split", "limit")


def took(run: Path, stage: str, place: Place, seen: Place) -> list[tuple[int, float]]:
    """(Images, seconds) of every job that ended well of a stage in a place: one for each shard, or one in all.

    `seen`: the data set and the view whose index says how many images there are; `()` where that does not matter.
    """
    index = run.joinpath("images", *seen, "index.json")
    shards = {name: len(ids) for name, ids in read_json(index)["shards"].items()} if index.is_file() else {}
    parts = Path(stage, *place).parts
    whole = Path(*parts[:-1], f"{parts[-1]}.json")
    if log_of(run / "logs", whole).is_file():
        counts = {whole: sum(shards.values())}
    else:
        counts = {Path(stage, *place, f"{name}.json"): images for name, images in shards.items()}
    jobs = [(images, spent(log_of(run / "logs", artifact))) for artifact, images in counts.items()]
    return [(images, job.seconds) for images, job in jobs if job]


def made_alike(run: Path, stage: str, place: Place, config: Config) -> bool:
    """Whether what a stage left in a place, as far as it is there and says so, was made with these settings."""
    settings = _settings(stage, place, config)
    folder = run.joinpath(stage, *place)
    index = run.joinpath("images", *place, "index.json")
    files = [index] if stage == "index" else [*folder.glob("*.json"), folder.with_name(f"{folder.name}.json")]
    made = [read_json(file) for file in files if settings and file.is_file()]
    said = [one.get("settings", {}) for one in made if isinstance(one, dict)]
    return all(_alike(one.get(key), value) for one in said for key, value in settings.items() if key in one)


def _alike(said: Any, wanted: Any) -> bool:
    if not isinstance(said, dict) or "kind" not in said:
        return said == wanted
    return all(said.get(key) == wanted.get(key) for key in {*said, *wanted} - set(PARTS))


def _settings(stage: str, place: Place, config: Config) -> dict[str, Any]:
    """What decides about the time of a stage's jobs, of the settings that its artifacts say they were made with."""

    def plain(model: Any) -> dict[str, Any]:
        """As it is written in JSON."""
        return model.model_dump(mode="json")

    run = {"device": config.device, "threads": config.threads}
    if stage in ("index", "images"):
        return {"dataset": plain(config.datasets[place[0]]), "view": plain(config.views[place[1]])}
    if stage == "features":
        said = plain(config.backbones[place[1]]).items()
        return {"backbone": {key: value for key, value in said if value is not None and key != "view"}, **run}
    if stage in ("vectors", "joint", "codebook"):
        return {"method": config.methods[place[2]].model_dump(mode="json", exclude={"unit_rows"}), **run}
    if stage == "regions":
        return plain(config.regions)
    return plain(config.segments.crf) if stage == "refined" else {}
