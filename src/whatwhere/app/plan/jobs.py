"""What a run does, counted: the jobs of every stage, as the workflow derives them from the configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from whatwhere.app.plan.known import Known, Number
from whatwhere.backbones.network import Network
from whatwhere.config import Run
from whatwhere.config.joint import Batches, Joint, Landmarks
from whatwhere.config.needed import clustered, explored, extracted, judged, refined, solved, stage_of, timed, views
from whatwhere.stages.task import At, Place

#: Images that stages of a data set as a whole are tried with: few, and more.
TOGETHER = (4, 16)
#: Whatever decides about the time of a job beside its images.
Like = tuple[Any, ...]


@dataclass(frozen=True)
class Jobs:
    """The jobs of one stage in one place: one for each shard, or one for the whole data set.

    `seen`: the data set, and the view that its images are seen through. `images` go through all jobs together,
    `at_once` through one of them, or (`pairs`) are compared with one another in a joint solve: what its time grows
    with; jobs of one `like` take as long, at most `dearer` times what they do in a trial. `after`: what they read.
    `on_device`: a GPU works on them, where there is one. Where they run a `network`: `passes` of it, and their `flop`.
    What they will take is filled in by others: at least `low_s` and at most `high_s` seconds, one after the other, by
    `source`; None where nobody knows.
    """

    stage: str
    place: Place
    seen: Place = ()
    jobs: int = 1
    images: Number | None = 0
    at_once: Number = 0
    like: Like = ()
    after: tuple[At, ...] = ()
    pairs: bool = False
    dearer: float = 1.0
    on_device: bool = False
    network: Network | None = None
    passes: Number | None = None
    flop: Number | None = None
    low_s: float | None = None
    high_s: float | None = None
    source: str = "unknown"

    @property
    def key(self) -> Like:
        """Jobs of the same take as long."""
        return (self.stage, *self.like)


def by_stage(jobs: Iterable[Jobs]) -> dict[str, list[Jobs]]:
    """Those of each stage, in the order of the first of them."""
    found: dict[str, list[Jobs]] = {}
    for one in jobs:
        found.setdefault(one.stage, []).append(one)
    return found


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
    for place in extracted(known.config):
        found, images = known.network(*place), known.data(place[0]).images
        like = (found or place, known.config.keeps_values(*place), known.config.keeps_joint(*place))
        work = (images * found.samples, images * found.flop) if found and images is not None else (None, None)
        more: dict[str, Any] = {"on_device": True, "network": found, "passes": work[0], "flop": work[1]}
        yield _jobs(known, "features", place, like, _seen(known, place), **more)


def _image_by_image(known: Known) -> Iterator[Jobs]:
    scored = set(known.config.scored())
    for run in solved(known.config):
        solver = hasattr(known.config.methods[run[2]], "operator")
        yield _jobs(known, "vectors", run, _method(known, run), ("features", run[:2]), on_device=solver)
    for run in known.config.shown():
        yield _jobs(known, "regions", run, _x(known, run)[:2], ("vectors", run))
        if run in scored:
            yield _jobs(known, "scores", run, _x(known, run), _seen(known, run), ("regions", run))


def _named(known: Known) -> Iterator[Jobs]:
    for place in known.config.named():
        run, texts, seen = place[:3], (*place[:2], place[3]), _seen(known, place)[1]
        model, by_token = known.config.backbones[place[1]].model, known.config.is_of_tokens(place[2])
        yield Jobs("texts", texts, seen, like=(model, place[3]), after=(("index", seen),), on_device=True)
        like = (*(_network(known, run) if by_token else _x(known, run)), place[3])
        after: list[At] = [("features", run[:2]), ("texts", texts), *([] if by_token else [("regions", run)])]
        yield _jobs(known, "named", place, like, *after)
        yield _jobs(known, "confusion", place, like, _seen(known, run), ("named", place))


def _objects(known: Known) -> Iterator[Jobs]:
    for run in known.config.detected():
        like, images = _x(known, run), _seen(known, run)
        yield _jobs(known, "proposals", run, like, images, ("vectors", run), ("regions", run))
        yield _jobs(known, "detections", run, like, images, ("proposals", run), whole=True)


def _joint(known: Known) -> Iterator[Jobs]:
    for run in known.config.joint():
        method, found, images = known.config.methods[run[2]], known.network(*run[:2]), known.data(run[0]).images or 0
        if not isinstance(method, Joint):
            continue
        more: dict[str, Any] = {"pairs": True, "on_device": True, "at_once": method.together(images)}
        source: At = ("features", run[:2])
        if isinstance(method, Landmarks):
            like, dearer = _method(known, run), _dearer(known, run, method)
            yield _jobs(known, "codebook", run, like, source, whole=True, **more, images=method.together(images))
            yield _jobs(known, "extended", run, like, source, ("codebook", run), dearer=dearer)
            continue
        if isinstance(method, Batches) and method.features == "live":
            source, passes = _seen(known, run), method.batches * more["at_once"]  # of one noise sample
            more |= {"network": found, "passes": passes}
            more["flop"] = found and passes * (found.image_flop + found.pass_flop)
        for other in known.config.source(run):
            source, more = ("joint", other), {}
        yield _jobs(known, "joint", run, _method(known, run), source, whole=True, **more)


def _dearer(known: Known, run: Run, method: Landmarks) -> float:
    """Landmarks of the sample over those that a trial has: at most an image costs so much more."""
    tokens = (known.vectors(run) or (1, 0))[0]
    least, own = (tokens * min(method.sample, images) for images in (TOGETHER[1], method.sample))
    return min(own, method.landmarks or own) / min(least, method.landmarks or least)


def _whole_sets(known: Known) -> Iterator[Jobs]:
    config = known.config
    scored, positions, again = judged(config, "matching", "position"), judged(config, "position"), refined(config)
    for run in dict.fromkeys([*clustered(config), *scored]):
        X: At = (stage_of(config, run[2]), run)
        like, images = _x(known, run), ("images", (run[0], config.segments.view or config.backbones[run[1]].view))
        is_true = config.methods[run[2]].kind == "truth"
        if run in positions:
            yield _jobs(known, "coordinates", run, like, images, *([] if is_true else [X]), whole=True)
        if is_true:
            continue
        yield _jobs(known, "segments", run, like, X, images, whole=True)
        if run in again:
            yield _jobs(known, "refined", run, like, images, X, ("segments", run), whole=True)
        for decoded in ["segments"] * (run in scored) + ["refined"] * (run in again):
            yield _jobs(known, "matching", (decoded, *run), (decoded, *like), images, (decoded, run), whole=True)


def _pages(known: Known) -> Iterator[Jobs]:
    for place, methods in timed(known.config).items():
        yield Jobs("timings", place, like=(*_network(known, place), *methods), on_device=True)
    yield from (Jobs("tables", (name,), like=(table.kind,)) for name, table in known.config.tables.items())
    yield from (Jobs("figures", (name,), like=(figure.kind,)) for name, figure in known.config.figures.items())
    for dataset, asked in explored(known.config).items():
        place = (dataset, asked.backbone)
        count, after = asked.count(known.data(dataset).images), (_seen(known, place), ("features", place))
        like = (*_network(known, place), count)
        yield Jobs("explored", (dataset,), images=count, at_once=count, like=like, after=after)
    yield Jobs("report", ())


def _jobs(known: Known, stage: str, place: Place, like: Like, *after: At, whole: bool = False, **more: Any) -> Jobs:
    dataset, seen = place[stage == "matching" :][:2]
    images = known.data(dataset).images
    number = 1 if whole or not images else math.ceil(images / known.config.shard_images)
    view = seen if stage in ("index", "images") else known.config.backbones[seen].view
    counts = {"jobs": number, "images": images, "at_once": (images or 0) / number, **more}
    return Jobs(stage, place, (dataset, view), like=like, after=after, **counts)


def _seen(known: Known, place: Place) -> At:
    """The images as a backbone sees them."""
    return ("images", (place[0], known.config.backbones[place[1]].view))


def _network(known: Known, place: Place) -> Like:
    """What is known of a network, or at least which it is."""
    found = known.network(place[0], place[1])
    return found.shape if found else place


def _method(known: Known, run: Run) -> Like:
    return (_network(known, run), known.config.methods[run[2]].model_dump_json())


def _x(known: Known, run: Run) -> Like:
    """What is known of X, or at least whose it is; what it is turned into; and of the labels it is compared with."""
    data, size = known.data(run[0]), known.size(run[0], known.config.backbones[run[1]].view)
    kind = known.config.methods[run[2]].kind
    decided = kind if kind in ("truth", "tokencut", "maskcut", "largest") else ""
    return (known.vectors(run) or run, decided, size, data.annotators, data.classes)
