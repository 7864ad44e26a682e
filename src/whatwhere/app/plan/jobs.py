"""What a run does, counted: the jobs of every stage, as the workflow derives them from the configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from whatwhere.app.plan.known import Known, Number
from whatwhere.config import Run
from whatwhere.config.needed import clustered, extracted, judged, refined, solved, timed, views

#: The wildcards of a rule but for the shard: where its artifacts and logs lie.
Place = tuple[str, ...]
#: A stage and a place there.
At = tuple[str, Place]


@dataclass(frozen=True)
class Jobs:
    """The jobs of one stage in one place: one for each shard, or one for the whole data set.

    `seen`: the data set, and the view that its images are seen through. `images` go through all of them together, `at_once` through one of them, or (`pairs`) are compared with one another
    in a joint solve: what a job's time grows with. `like` is whatever else decides about it, so that jobs of one
    `like` take as long. `after`: what they read. Of those that run a network there are `passes`, the `flop` of all of
    them (in 16 bits: `half`) and the `image_flop` of one image. `on_device`: a GPU works on them, where there is one.
    """

    stage: str
    place: Place
    seen: Place = ()
    jobs: int = 1
    images: Number | None = 0
    at_once: Number = 0
    like: tuple[Any, ...] = ()
    after: tuple[At, ...] = ()
    pairs: bool = False
    on_device: bool = False
    passes: Number | None = None
    flop: Number | None = None
    image_flop: Number = 0
    half: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Jobs of the same take as long."""
        return (self.stage, *self.like)


def counted(known: Known) -> list[Jobs]:
    """All jobs of a run, each after what it reads."""
    parts = (_pictures, _features, _image_by_image, _named, _objects, _joint, _whole_sets, _pages)
    return list({(one.stage, one.place): one for part in parts for one in part(known)}.values())


def _pictures(known: Known) -> Iterator[Jobs]:
    for dataset, view in views(known.config):
        data = known.data(dataset)
        like = (data.kind, data.size, known.size(dataset, view))
        yield _jobs(known, "index", (dataset, view), like, whole=True)
        yield _jobs(known, "images", (dataset, view), like, ("index", (dataset, view)))


def _features(known: Known) -> Iterator[Jobs]:
    config = known.config
    for dataset, backbone in extracted(config):
        place, found, images = (dataset, backbone), known.network(dataset, backbone), known.data(dataset).images
        like = (found or place, config.keeps_values(*place), config.keeps_joint(*place))
        more: dict[str, Any] = {"on_device": True}
        if found and images is not None:
            more |= {"passes": images * found.samples, "flop": images * found.flop, "image_flop": found.flop}
            more |= {"half": found.half}
        yield _jobs(known, "features", place, like, _seen(known, place), **more)


def _image_by_image(known: Known) -> Iterator[Jobs]:
    scored = set(known.config.scored())
    for run in solved(known.config):
        solver = hasattr(known.config.methods[run[2]], "operator")
        yield _jobs(known, "vectors", run, _method(known, run), ("features", run[:2]), on_device=solver)
    for run in known.config.shown():
        like, images = _x(known, run), _seen(known, run)
        yield _jobs(known, "regions", run, like[:2], ("vectors", run))
        if run in scored:
            yield _jobs(known, "scores", run, like, images, ("regions", run))


def _named(known: Known) -> Iterator[Jobs]:
    config = known.config
    for dataset, backbone, method, naming in config.named():
        run, place, texts = (
            (dataset, backbone, method),
            (dataset, backbone, method, naming),
            (dataset, backbone, naming),
        )
        settings = config.backbones[backbone]
        yield Jobs("texts", texts, like=(settings.model, naming), after=(("index", (dataset, settings.view)),))
        by_token = config.is_of_tokens(method)
        like = (*(_network(known, run) if by_token else _x(known, run)), naming)
        after: list[At] = [("features", run[:2]), ("texts", texts), *([] if by_token else [("regions", run)])]
        yield _jobs(known, "named", place, like, *after)
        yield _jobs(known, "confusion", place, like, _seen(known, run), ("named", place))


def _objects(known: Known) -> Iterator[Jobs]:
    for run in known.config.detected():
        like, images = _x(known, run), _seen(known, run)
        yield _jobs(known, "proposals", run, like, images, ("vectors", run), ("regions", run))
        yield _jobs(known, "detections", run, like, images, ("proposals", run), whole=True)


def _joint(known: Known) -> Iterator[Jobs]:
    config = known.config
    for run in (run for run in config.joint() if config.is_joint(run[2])):
        method, found, images = config.methods[run[2]], known.network(*run[:2]), known.data(run[0]).images or 0
        more: dict[str, Any] = {"pairs": True, "on_device": True, "at_once": together(method, images)}
        if config.is_live(run[2]) and found and images:
            passes, flop = method.batches * more["at_once"], found.image_flop + found.pass_flop  # of one noise sample
            more |= {"passes": passes, "flop": passes * flop, "image_flop": flop, "half": found.half}
        source = _seen(known, run) if config.is_live(run[2]) else ("features", run[:2])
        yield _jobs(known, "joint", run, _method(known, run), source, whole=True, **more)


def together(method: Any, images: Number) -> Number:
    """Images that a solver for a data set of so many compares at a time: all, or those of its nearly equal batches."""
    size = getattr(method, "batch_images", images)
    return images / max(1, math.ceil(images / size)) if images else 0


def _whole_sets(known: Known) -> Iterator[Jobs]:
    config = known.config
    again, by_position = set(refined(config)), set(judged(config, "position"))
    for run in dict.fromkeys([*clustered(config), *judged(config, "matching", "position")]):
        X: At = ("joint" if config.is_joint(run[2]) else "vectors", run)
        like, images = _x(known, run), ("images", (run[0], config.segments.view or config.backbones[run[1]].view))
        is_true = config.methods[run[2]].kind == "truth"
        if run in by_position:
            yield _jobs(known, "coordinates", run, like, images, *([] if is_true else [X]), whole=True)
        if is_true:
            continue
        yield _jobs(known, "segments", run, like, X, images, whole=True)
        if run in again:
            yield _jobs(known, "refined", run, like, images, X, ("segments", run), whole=True)
        asked = run in judged(config, "matching", "position")
        for decoded in ["segments"] * asked + ["refined"] * (run in again):
            yield _jobs(known, "matching", (decoded, *run), (decoded, *like), images, (decoded, run), whole=True)


def _pages(known: Known) -> Iterator[Jobs]:
    for place, methods in timed(known.config).items():
        yield Jobs("timings", place, like=(*_network(known, place), *methods), on_device=True)
    yield from (Jobs("tables", (name,), like=(table.kind,)) for name, table in known.config.tables.items())
    yield from (Jobs("figures", (name,), like=(figure.kind,)) for name, figure in known.config.figures.items())
    yield Jobs("report", ())


def _jobs(known: Known, stage: str, place: Place, like: Place, *after: At, whole: bool = False, **more: Any) -> Jobs:
    dataset, seen = place[stage == "matching" :][:2]
    images = known.data(dataset).images
    number = 1 if whole or not images else math.ceil(images / known.config.shard_images)
    view = seen if stage in ("index", "images") else known.config.backbones[seen].view
    counts = {"jobs": number, "images": images, "at_once": (images or 0) / number, **more}
    return Jobs(stage, place, (dataset, view), like=like, after=after, **counts)


def _seen(known: Known, place: Place) -> At:
    """The images as a backbone sees them."""
    return ("images", (place[0], known.config.backbones[place[1]].view))


def _network(known: Known, place: Place) -> tuple[Any, ...]:
    """What is known of a network, or at least which it is."""
    found = known.network(place[0], place[1])
    return found.shape if found else place


def _method(known: Known, run: Run) -> tuple[Any, ...]:
    return (_network(known, run), known.config.methods[run[2]].model_dump_json())


def _x(known: Known, run: Run) -> tuple[Any, ...]:
    """What is known of X, or at least whose it is; what it is turned into; and of the labels it is compared with."""
    data, size = known.data(run[0]), known.size(run[0], known.config.backbones[run[1]].view)
    kind = known.config.methods[run[2]].kind
    decided = kind if kind in ("truth", "tokencut", "maskcut", "largest") else ""
    return (known.vectors(run) or run, decided, size, data.annotators, data.classes)
