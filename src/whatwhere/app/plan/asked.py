"""What a run computes: which data sets and views, which features, which solves - as the workflow derives it."""

from __future__ import annotations

from collections.abc import Iterable

from whatwhere.app.plan.disk import MASKED
from whatwhere.config import Config, Run, runs

#: A data set as a backbone sees it.
Place = tuple[str, str]


def places(config: Config) -> list[Place]:
    """Every data set and backbone whose images are needed, once each, in order."""
    asked = [*_computed(config), *((d, b, "") for d, b in timed(config))]
    pictures = [figure for figure in config.figures.values() if figure.kind == "pictures" and figure.photographs]
    asked += [(figure.dataset, figure.photographs, "") for figure in pictures if figure.photographs]
    return _places(asked)


def views(config: Config) -> list[tuple[str, str]]:
    """Every data set and view that has a store of images; clusters of a whole set meet labels in a view of its own."""
    found = [(dataset, config.backbones[backbone].view) for dataset, backbone in places(config)]
    if config.segments.view:
        found += [(dataset, config.segments.view) for dataset, *_ in config.joint()]
    return list(dict.fromkeys(found))


def extracted(config: Config) -> list[Place]:
    """Every data set and backbone with a store of features."""
    return _places(run for run in _computed(config) if _reads_features(config, run[2]))


def solved(config: Config) -> list[Run]:
    """Every run with vectors of each image by itself."""
    joint = [run for run in config.joint() if not config.is_joint(run[2]) and config.methods[run[2]].kind != "truth"]
    return list(dict.fromkeys([*config.shown(), *joint]))


def jointly_solved(config: Config) -> list[Run]:
    """Every run of a solver for a whole data set."""
    return [run for run in config.joint() if config.is_joint(run[2])]


def clustered(config: Config) -> list[Run]:
    """Every run whose rows of X are clustered over the whole data set."""
    return [run for run in config.joint() if config.methods[run[2]].kind != "truth"]


def refined(config: Config) -> list[Run]:
    """Every run with a CRF on the clusters of a whole data set."""
    tables = [table for table in config.tables.values() if table.kind == "matching"]
    return list(dict.fromkeys(run for table in tables for run in table.refined()))


def cut(config: Config) -> list[Run]:
    """Every run whose graph is cut by itself: NCut, TokenCut, MaskCut."""
    return [run for run in solved(config) if config.methods[run[2]].kind in ("ncut", *MASKED)]


def proposed(config: Config) -> list[Run]:
    """Every run whose regions become ranked masks of objects."""
    return [run for run in config.detected() if config.methods[run[2]].kind not in MASKED]


def refined_masks(config: Config) -> list[Run]:
    """Every run with a CRF on each mask of an object that its method answers itself."""
    masked = [run for run in config.detected() if config.methods[run[2]].kind in MASKED]
    return masked if config.proposals.crf else []


def timed(config: Config) -> dict[Place, list[str]]:
    """The methods that a table of seconds times on one image (Table 6)."""
    found: dict[Place, list[str]] = {}
    for table in config.tables.values():
        for dataset, backbone, method in runs(table) if table.kind == "seconds" else ():
            found.setdefault((dataset, backbone), []).append(method)
    return found


def read_whole(config: Config) -> set[Place]:
    """Whose stores of features must all be there at once, as a cached joint solve reads them all."""
    return {(d, b) for d, b, m in jointly_solved(config) if not config.is_live(m)}


def _computed(config: Config) -> list[Run]:
    """Every run, also those whose tokens are named as they are."""
    return [*config.shown(), *config.joint(), *((d, b, m) for d, b, m, _ in config.named())]


def _reads_features(config: Config, method: str) -> bool:
    """True labels need none; where features are kept, they are made for them too."""
    return not config.is_live(method) and (config.methods[method].kind != "truth" or config.features.keep)


def _places(found: Iterable[tuple[str, str, str]]) -> list[Place]:
    return list(dict.fromkeys((dataset, backbone) for dataset, backbone, _ in found))
