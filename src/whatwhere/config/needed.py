"""What the tables and figures of a configuration need made, beside what `Config` says itself: for workflow and plan."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, NamedTuple

from whatwhere.config import Config, Run, Table, runs
from whatwhere.config.figures import photographs


def views(config: Config) -> list[tuple[str, str]]:
    """Every data set and view that has a store of images; clusters of a whole set meet labels in a view of its own."""
    shown = [*computed(config), *((d, b, "") for d, b in timed(config))]
    pictures = [figure for figure in config.figures.values() if figure.kind == "pictures"]
    shown += [(figure.dataset, figure.photographs, "") for figure in pictures if figure.photographs]
    found = [(dataset, config.backbones[backbone].view) for dataset, backbone, _ in shown]
    found += [(dataset, config.segments.view) for dataset, *_ in config.joint() if config.segments.view]
    return list(dict.fromkeys(found))


def extracted(config: Config) -> list[tuple[str, str]]:
    """Every data set and backbone with a store of features; true labels read none, but one that is kept is made."""
    unread = {name for name, method in config.methods.items() if method.kind == "truth" and not config.features.keep}
    unread |= {name for name in config.methods if config.is_live(name)}
    return list(dict.fromkeys((d, b) for d, b, method in computed(config) if method not in unread))


def stage_of(config: Config, method: str) -> str:
    """The stage that answers X of a method: `joint`, a store of all images, or `extended` or `vectors`, one a shard."""
    if not config.is_joint(method):
        return "vectors"
    return "extended" if config.methods[method].kind == "landmarks" else "joint"


def solved(config: Config) -> list[Run]:
    """Every run with vectors of each image by itself."""
    whole = [run for run in config.joint() if not config.is_joint(run[2]) and config.methods[run[2]].kind != "truth"]
    return list(dict.fromkeys([*config.shown(), *whole]))


def judged(config: Config, *kinds: str) -> list[Run]:
    """Every run of tables of these kinds, once each, in order."""
    tables = [table for table in config.tables.values() if table.kind in kinds]
    return list(dict.fromkeys(run for table in tables for run in runs(table)))


def clustered(config: Config) -> list[Run]:
    """Every run whose rows of X are clustered: all but true labels, of tables and of pictures of regions."""
    found = judged(config, "matching", "position")
    for figure in config.figures.values():
        if figure.kind == "pictures":
            columns = [(c.backbone, c.method) for c in figure.columns if c.show == "regions"]
            found += [(figure.dataset, b, m) for b, m in columns if b and m and config.is_joint(m)]
        elif figure.kind == "method":
            found += [run for run in runs(figure) if config.is_joint(run[2])]
    return [run for run in dict.fromkeys(found) if config.methods[run[2]].kind != "truth"]


def refined(config: Config) -> list[Run]:
    """Every run with a CRF on the clusters of a whole data set."""
    tables = [table for table in config.tables.values() if table.kind == "matching"]
    return list(dict.fromkeys(run for table in tables for run in table.refined()))


def unit_rows(config: Config, method: str) -> bool:
    """Whether rows are brought to unit length for K-means: not coordinates or scores, whose lengths say something."""
    own = getattr(config.methods[method], "unit_rows", None)
    wanted = config.segments.unit_rows if own is None else own
    return wanted and config.methods[method].kind not in ("position", "largest")


def unlike_rows(config: Config, table: Table) -> list[str]:
    """Methods of a table whose rows are clustered not as `segments` says, but as they say themselves."""
    said = {method: getattr(config.methods[method], "unit_rows", None) for *_, method in runs(table)}
    return [method for method, own in said.items() if own not in (None, config.segments.unit_rows)]


def timed(config: Config) -> dict[tuple[str, str], list[str]]:
    """By data set and backbone the methods that a table of seconds times on one image (Table 6)."""
    found: dict[tuple[str, str], list[str]] = {}
    for dataset, backbone, method in judged(config, "seconds"):
        found.setdefault((dataset, backbone), []).append(method)
    return found


class Explored(NamedTuple):
    """Of a data set: through whose eyes there are pages to point at, of its `first` so many images and of those of
    these ids; at most so many in all, if that is said.
    """

    backbone: str
    first: int
    ids: tuple[str, ...]
    most: int | None

    def count(self, images: int | None = None) -> int:
        """How many pages that are, at least, of a data set of so many images (None: nobody knows)."""
        limits = [limit for limit in (self.most, images) if limit]
        return min([max(self.first, len(self.ids)), *limits])


def explored(config: Config) -> dict[str, Explored]:
    """The pages of each data set whose images a figure shows, and whose features there are."""
    found, made = {}, extracted(config)
    for dataset, pages in config.explored.items():
        first, ids = photographs(config.figures.values(), dataset)
        if (first or ids) and (dataset, pages.backbone) in made:
            found[dataset] = Explored(pages.backbone, min(first, pages.images or first), ids, pages.images)
    return found


def crops(config: Config) -> list[tuple[str, str]]:
    """Every data set and view that shows of each image the square in its middle; rendered scenes are square."""
    return [(d, v) for d, v in views(config) if config.views[v].protocol == "centre_crop" and not _rendered(config, d)]


def out_of_depth(config: Config) -> list[tuple[str, str]]:
    """Every data set and backbone of which the first has photographs, and the second knows rendered scenes only."""
    shown = dict.fromkeys((d, b) for d, b, _ in _every_run(config))
    return [(d, b) for d, b in shown if config.backbones[b].knows_scenes_only() and not _rendered(config, d)]


def cautions(config: Config) -> list[str]:
    """What to know before a run, a line each: whose eyes its images are new to, and what a view leaves out of them."""
    found: dict[str, list[str]] = {}
    for dataset, backbone in out_of_depth(config):
        found.setdefault(dataset, []).append(backbone)
    said = [
        f"{d} through {', '.join(names)}: made for rendered scenes, which see little in photographs"
        for d, names in found.items()
    ]
    said += [f"{d} through view {v}: of each image the square in its middle" for d, v in crops(config)]
    unseen = [(d, pages.backbone) for d, pages in config.explored.items() if d not in explored(config)]
    shown = {figure.dataset for figure in config.figures.values() if figure.kind in ("pictures", "method")}
    return said + [
        f"{d}: no pages to explore, as nothing here asks for features of {b}" for d, b in unseen if d in shown
    ]


def _rendered(config: Config, dataset: str) -> bool:
    return config.datasets[dataset].kind == "scenes"


def _every_run(config: Config) -> list[Run]:
    return [run for shown in (*config.tables.values(), *config.figures.values()) for run in runs(shown)]


def used(config: Config) -> dict[str, Any]:
    """The configuration as plain values, as far as this run depends on it: of data sets, views, backbones, methods and
    namings those that its tables and figures ask for, and the claims about its tables.
    """
    tree = config.model_dump(mode="json", exclude={"zoo"})
    asked = [run for one in _every_run(config) for run in (*config.source(one), one)]
    pictures = [figure for figure in config.figures.values() if figure.kind == "pictures"]
    needed: dict[str, Set[Any]] = {
        "datasets": {*(dataset for dataset, *_ in asked), *(figure.dataset for figure in pictures)},
        "backbones": {*(backbone for _, backbone, _ in asked), *(figure.photographs for figure in pictures)},
        "methods": {method for *_, method in asked},
        "views": {view for _, view in views(config)},
        "namings": {naming for *_, naming in config.named()} | {c.naming for f in pictures for c in f.columns},
    }
    for section, names in needed.items():
        tree[section] = {name: entry for name, entry in tree[section].items() if name in names}
    tree["explored"] = {name: entry for name, entry in tree["explored"].items() if name in explored(config)}
    tree["claims"] = [claim for claim in tree["claims"] if claim["table"] in config.tables]
    halves = any(column.show == "halves" for figure in pictures for column in figure.columns)
    idle = {
        "segments": not (config.joint() or halves),
        "proposals": not config.detected(),
        "namings": not tree["namings"],
        "explored": not tree["explored"],
    }
    return {section: value for section, value in tree.items() if not idle.get(section)}


def computed(config: Config) -> list[Run]:
    """Every run, also those whose tokens are named as they are."""
    return [*config.shown(), *config.joint(), *((d, b, m) for d, b, m, _ in config.named())]
