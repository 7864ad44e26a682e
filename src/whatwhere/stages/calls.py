"""How the workflow's scripts call each stage, for a handful of images: an entry of `STAGES` for each that has any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatwhere.stages.task import Place

if TYPE_CHECKING:
    from whatwhere.artifacts.store import Store
    from whatwhere.backbones.backbone import Backbone
    from whatwhere.config import Config
    from whatwhere.datasets import Dataset

#: Mini-batches that are run in the place of all of a solve.
BATCHES = 2


@dataclass(frozen=True)
class Call:
    """A stage in a place: how many images, what is read, by stage, and what is written.

    `noise`: data sets whose files are not here, with the (height, width) of the noise that stands for their images.
    """

    config: Config
    place: Place
    images: int
    given: Mapping[str, Path]
    output: Path
    noise: Mapping[str, tuple[int, int]]

    def store(self, *stages: str) -> Store:
        """What was made at the first of these stages that is read."""
        from whatwhere.artifacts.store import Store

        return Store(next(self.given[stage] for stage in stages if stage in self.given))

    def dataset(self) -> Dataset:
        """The first images of the data set, or noise with two objects in the place of each."""
        from whatwhere.datasets import class_names, load_dataset

        name = self.place[0]
        settings = self.config.datasets[name].model_dump()
        if name in self.noise:
            return _noise(name, self.images, self.noise[name], class_names(**settings))
        found = load_dataset(name, **settings)
        return replace(found, records=found.records[: self.images])

    def backbone(self) -> Backbone:
        """As the run loads it, or with random weights where its own are not on this machine."""
        from whatwhere.artifacts.errors import InputError
        from whatwhere.backbones import load_backbone
        from whatwhere.backbones.architectures import load_untrained

        name, device = self.place[1], self.config.device
        settings = self.config.backbones[name].model_dump(exclude={"view"})
        try:
            return load_backbone(name, **settings, device=device, download=False)
        except InputError:
            return load_untrained(device=device, **{key: settings[key] for key in settings if key != "weights"})


def tried_batches(method: Any) -> int:
    """How many of its mini-batches a solver for a whole data set is tried with; 1 for one that has none."""
    return min(BATCHES, getattr(method, "batches", 1))


def _noise(name: str, images: int, size: tuple[int, int], classes: tuple[str, ...]) -> Dataset:
    import numpy as np

    from whatwhere.datasets import Dataset, Instance, Record

    left = np.zeros(size, bool)
    left[:, : size[1] // 2] = True
    labels = np.where(left, 0, min(1, max(0, len(classes) - 1))).astype(np.int16)

    def record(number: int) -> Record:
        """One image."""
        rng = np.random.default_rng(number)
        return Record(
            f"noise-{number}",
            image=lambda: rng.integers(0, 256, (*size, 3), np.uint8),
            labels=lambda: (labels,),
            instances=lambda: (Instance(0, left), Instance(0, ~left)),
        )

    return Dataset(name, tuple(map(record, range(images))), classes)


def _plain(settings: Any, *left_out: str) -> dict[str, Any]:
    return settings.model_dump(exclude=set(left_out))


def _index(call: Call) -> None:
    from whatwhere.datasets.images import View
    from whatwhere.stages.images import write_index

    view = View(**_plain(call.config.views[call.place[1]]))
    shard = call.config.shard_images
    write_index(call.dataset(), call.output, view=view, shard_images=shard, unreadable="skip", settings={})


def _images(call: Call) -> None:
    from whatwhere.datasets.images import View
    from whatwhere.stages.images import write_images

    found, view = call.dataset(), View(**_plain(call.config.views[call.place[1]]))
    ids = [record.id for record in found.records]
    choice: dict[str, Any] = {"view": view, "run_images": call.config.features.run_images, "settings": {}}
    choice["numbers"] = {name: number for number, name in enumerate(ids, 1)}
    write_images(found, ids, call.output, call.output.with_suffix(".instances"), **choice)


def _features(call: Call) -> None:
    from whatwhere.stages.features import extract

    config, (dataset, backbone) = call.config, call.place
    wanted = {"values": config.keeps_values(dataset, backbone), "joint": config.keeps_joint(dataset, backbone)}
    choice = {**_plain(config.features, "keep"), **wanted, "seed": config.seed, "settings": {}, "kept": False}
    extract(call.store("images"), call.backbone(), call.output, **choice)


def _vectors(call: Call) -> None:
    from whatwhere.stages.baselines import FINDERS, write_baseline

    method = _plain(call.config.methods[call.place[2]])
    choice = {"kind": method.pop("kind"), "method": method, "settings": {}}
    if choice["kind"] in FINDERS:
        write_baseline(call.store("features"), call.output, **choice)
        return
    from whatwhere.stages.vectors import write_vectors

    write_vectors(call.store("features"), call.output, **choice, seed=call.config.seed, device=call.config.device)


def _regions(call: Call) -> None:
    from whatwhere.stages.regions import write_regions

    choice = {**_plain(call.config.regions), "seed": call.config.seed}
    write_regions(call.store("vectors"), call.output, **choice, settings={})


def _scores(call: Call) -> None:
    from whatwhere.stages.scores import write_scores

    write_scores(call.store("images"), call.store("regions"), call.output)


def _texts(call: Call) -> None:
    from whatwhere.artifacts.store import read_json
    from whatwhere.stages.texts import write_texts

    naming = _plain(call.config.namings[call.place[2]])
    asked = {key: naming[key] for key in ("classes", "phrases", "templates")}
    write_texts(read_json(call.given["index"])["classes"], call.backbone(), call.output, **asked, settings={})


def _named(call: Call) -> None:
    from whatwhere.stages.named import write_named

    naming = _plain(call.config.namings[call.place[3]])
    choice = {key: naming[key] for key in ("measure", "threshold", "most")}
    regions = call.store("regions") if "regions" in call.given else None
    write_named(call.store("features"), regions, call.store("texts"), call.output, choice=choice, settings={})


def _confusion(call: Call) -> None:
    from whatwhere.stages.named import write_confusion

    write_confusion(call.store("images"), call.store("named"), call.output)


def _proposals(call: Call) -> None:
    from whatwhere.stages.proposals import write_proposals

    choice = _plain(call.config.proposals)
    images, vectors, regions = (call.store(name) for name in ("images", "vectors", "regions"))
    write_proposals(images, vectors, regions, call.output, crf=choice.pop("crf"), choice=choice)


def _detections(call: Call) -> None:
    from whatwhere.stages.proposals import write_detections

    truths = [str(call.given["images"].with_suffix(".instances"))]
    write_detections(truths, [str(call.given["proposals"])], call.output, call.output.with_suffix(".parquet"))


def _joint(call: Call) -> None:
    """Of mini-batches only `tried_batches`, of so many images each."""
    from whatwhere.stages.joint import write_joint

    config, (_, backbone, name) = call.config, call.place
    method = _plain(config.methods[name], "unit_rows")
    if "batches" in method:
        method |= {"batches": tried_batches(config.methods[name]), "batch_images": call.images, "processes": 1}
    live = _plain(config.backbones[backbone], "view") if config.is_live(name) else None
    choice = {"kind": method.pop("kind"), "method": method, "name": backbone, "backbone": live, "settings": {}}
    choice |= {"batch_images": config.features.batch_images, "seed": config.seed, "device": config.device}
    write_joint(list(map(str, call.given.values())), call.output, **choice)


def _codebook(call: Call) -> None:
    from whatwhere.stages.joint_landmarks import write_codebook

    config, method = call.config, _plain(call.config.methods[call.place[2]], "unit_rows")
    given: dict[str, Any] = {"method": method, "seed": config.seed, "device": config.device, "settings": {}}
    write_codebook([str(call.given["features"])], call.output, **given)


def _extended(call: Call) -> None:
    """All images, also those that the trial's sample is made of."""
    from whatwhere.stages.joint_landmarks import write_extended

    stores, method = (call.store("features"), call.store("codebook")), _plain(call.config.methods[call.place[2]])
    write_extended(*stores, call.output, method=method, settings={}, solved=False)


def _segments(call: Call) -> None:
    from whatwhere.config.needed import unit_rows
    from whatwhere.stages.segments import write_segments

    config, kind = call.config, call.config.methods[call.place[2]].kind
    classes = len(call.store("images").attributes["classes"]) or config.segments.clusters
    choice = _plain(config.segments, "clusters", "view", "least_px", "ambiguous", "crf", "unit_rows")
    choice |= {"unit_rows": unit_rows(config, call.place[2]), "seed": config.seed}
    choice["block_locations"] = config.block_locations
    write_segments(
        [call.store("joint", "extended", "vectors")],
        call.output,
        classes=classes,
        scores=kind == "largest",
        settings={},
        **choice,
    )


def _refined(call: Call) -> None:
    from whatwhere.stages.refining import write_refined

    stores = [call.store("images")], [call.store("joint", "extended", "vectors")], call.store("segments")
    write_refined(*stores, call.output, crf=_plain(call.config.segments.crf), settings={})


def _matching(call: Call) -> None:
    from whatwhere.stages.matching import write_matching

    choice = {key: getattr(call.config.segments, key) for key in ("least_px", "ambiguous")}
    write_matching([call.store("images")], call.store(call.place[0]), call.output, **choice)


def _coordinates(call: Call) -> None:
    from whatwhere.stages.coordinates import write_coordinates

    vectors = [call.store("joint", "extended", "vectors")] if len(call.given) > 1 else []
    choice: dict[str, Any] = {"seed": call.config.seed, "settings": {}}
    write_coordinates([call.store("images")], vectors, call.output, **choice)


def _explored(call: Call) -> None:
    from whatwhere.stages.explored import write_explored

    images, features = ([str(call.given[stage])] for stage in ("images", "features"))
    choice: dict[str, Any] = {"backbone": "", "vectors": 10, "seed": call.config.seed}
    write_explored(images, features, call.output, first=call.images, **choice)


#: How each stage is called; one that is added to the workflow is added here, or planned from logs alone.
STAGES: dict[str, Callable[[Call], None]] = {
    "index": _index,
    "images": _images,
    "features": _features,
    "vectors": _vectors,
    "regions": _regions,
    "scores": _scores,
    "texts": _texts,
    "named": _named,
    "confusion": _confusion,
    "proposals": _proposals,
    "detections": _detections,
    "joint": _joint,
    "codebook": _codebook,
    "extended": _extended,
    "segments": _segments,
    "refined": _refined,
    "matching": _matching,
    "coordinates": _coordinates,
    "explored": _explored,
}
