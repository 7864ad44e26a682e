"""Stores -> the drawings of the method itself, made of real numbers (Figures 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store
from whatwhere.publish.figures.cells import Cell, Heat, Regions
from whatwhere.publish.figures.colours import Picture
from whatwhere.publish.figures.diagram import LINKS, Lane, Layers, draw_diagram
from whatwhere.publish.figures.graphs import Graph
from whatwhere.publish.figures.overview import draw_overview
from whatwhere.publish.figures.sheet import Row
from whatwhere.stages.method_graphs import StoredLayer, entering, graphs, stored_layers
from whatwhere.stages.shown import KINDS, Shards, limits_of, on_grid

#: The joint methods of a drawing, by the names of their pathways.
PATHWAYS = ("what", "where")
#: What each drawing is made of.
INPUTS = {
    "overview": (
        "images",
        *(f"{kind}_{method}" for method in ("single", *PATHWAYS) for kind in ("vectors", "regions")),
    ),
    "diagram": ("images", "features", *(f"{kind}_{method}" for method in PATHWAYS for kind in ("vectors", "regions"))),
}


def draw_method(output: Path, given: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
    """Figure 1 (`drawing: overview`) or 2 (`diagram`) of the configuration.

    `given` are the manifests of all shards, or of a joint method's one store: `images`, `vectors_single` and
    `regions_single` of a method for one image (`overview`), `vectors_what`, `regions_what`, `vectors_where` and
    `regions_where` of a V-V and of a Q-K method for the data set, `features` that the graphs are made of (`diagram`).
    Drawn are the images `ids` of the settings, or the first `images`: in an overview one by itself, then the others.
    Of X of the data set three vectors from `first` (from 1) on are drawn.
    A diagram shows the connections of `location`, down and across from 0 to 1, in the middle one of its images.

    Raises InputError for missing inputs, for fewer than two images, for methods of the other pathway and of no data
    set, for images that a store does not have, and for features without values.
    """
    missing = [key for key in INPUTS[settings["drawing"]] if not given.get(key)]
    if missing:
        expected, got = f"the stores {', '.join(missing)}", "none"
        raise InputError(f"figure {output}: expected {expected}, got {got}; name methods whose features are kept")
    stores = {key: Shards(manifests) for key, manifests in given.items()}
    ids = list(settings.get("ids") or stores["images"].first(settings["images"]))
    if len(ids) < 2:
        raise InputError(f"figure {output}: expected two images or more, got {len(ids)}; raise images, or name ids")
    draw = {"overview": _draw_overview, "diagram": _draw_diagram}[settings["drawing"]]
    draw(ids, stores, output, settings)


def _draw_overview(ids: list[str], stores: Mapping[str, Shards], output: Path, settings: Mapping[str, Any]) -> None:
    solved = {method: _solved(method, ids[0], stores) for method in PATHWAYS}
    single = Row(ids[0], _photo(ids[0], stores), tuple(_cells("single", ids[0], stores)))
    several = [
        Row(
            name,
            _photo(name, stores),
            tuple(cell for method in solved for cell in _cells(method, name, stores, _first(settings))),
        )
        for name in ids[1:]
    ]
    clusters = stores["regions_what"].find(ids[0])[0].coordinate("partition")[0]
    caption = (
        f"Real results: {settings['backbone']} on {settings['dataset']}. On the right, regions are {clusters} clusters "
        f"over all {len(solved['what'].ids)} images, eigenvectors those of one solution for all."
    )
    draw_overview(single, several, output, title=settings["title"], caption=caption, first=_first(settings))


def _draw_diagram(ids: list[str], stores: Mapping[str, Shards], output: Path, settings: Mapping[str, Any]) -> None:
    layers = stored_layers(stores["features"].find(ids[0])[0])
    methods = [_solved(method, ids[0], stores).attributes["settings"]["method"] for method in PATHWAYS]
    location = settings.get("location") or (0.5, 0.5)
    lanes = [_lane(layers, ids, stores["features"], method, location) for method in methods]
    enter = np.any([entering(layers, method) for method in methods], axis=0)
    drawn = Layers(
        tuple(layer.name for layer in layers), tuple(layer.grid for layer in layers), tuple(map(bool, enter))
    )
    rows, first = [], _first(settings)
    for name in ids:
        cells = [(*_cells(method, name, stores, first), _leading(method, name, stores, first)) for method in PATHWAYS]
        ordered = [cell for vectors, regions, leading in cells for cell in (vectors, leading, regions)]
        rows.append(Row(name, _photo(name, stores), tuple(ordered)))
    words = {"title": settings["title"], "caption": _caption(lanes, settings)}
    draw_diagram(rows, drawn, (lanes[0], lanes[1]), output, **words, first=first)


def _caption(lanes: Sequence[Lane], settings: Mapping[str, Any]) -> str:
    rows, columns = lanes[0].mean.grid
    return (
        f"Real numbers: {settings['backbone']} on {settings['dataset']}. Lines: the connections of the ringed "
        f"location, dark inside its image, in colour to the others, of each the {LINKS} strongest in the mean graph "
        f"of the {rows}×{columns} layers. Matrices: those of all locations, for some of the layers. Graphs are of "
        f"these {lanes[0].mean.images} images, X and regions of the whole data set: a colour means the same in every "
        f"image."
    )


def _lane(
    layers: Sequence[StoredLayer],
    ids: Sequence[str],
    features: Shards,
    method: Mapping[str, Any],
    place: tuple[float, float],
) -> Lane:
    """The graphs of a pathway; the mean of those on the finest grid is where a location's connections come from."""
    chosen = [layer for layer, enters in zip(layers, entering(layers, method), strict=True) if enters]
    found = tuple(graphs(chosen, ids, features, method))
    finest = max((graph.grid for graph in found), key=lambda grid: grid[0] * grid[1])
    alike = [graph.A for graph in found if graph.grid == finest]
    mean = Graph("mean", finest, len(ids), (sum(alike[1:], alike[0]) / len(alike)).tocsr())
    return Lane(found, mean, mean.location(len(ids) // 2, *place))


def _solved(method: str, name: str, stores: Mapping[str, Shards]) -> Store:
    """The store of X of a joint method. Raises InputError for one of the other pathway, or for no joint one."""
    store = stores[f"vectors_{method}"].find(name)[0]
    expected = {"what": "vv", "where": "qk"}[method]
    got = store.attributes["settings"].get("method", {}).get("pathway", "no pathway")
    if limits_of(store) is None or got != expected:
        of = "of a whole data set" if limits_of(store) is not None else "of single images"
        raise InputError(
            f"{store.manifest}: expected X of a whole data set and of {expected} graphs as {method}, got {got}, {of}; "
            "name a minibatch or global method"
        )
    return store


def _first(settings: Mapping[str, Any]) -> int:
    """The first vector of X of the data set that is shown, from 1."""
    return settings.get("first", 1)


def _cells(method: str, name: str, stores: Mapping[str, Shards], first: int = 1) -> list[Cell]:
    """Three eigenvectors from `first` on, and regions."""
    cells = [
        KINDS[show][1](*stores[f"{KINDS[show][0]}_{method}"].find(name), {"first": first})
        for show in ("eigenvectors", "regions")
    ]
    # K is of the image alone; how many clusters of a data set occur in an image says little
    return [replace(cell, note="") if isinstance(cell, Regions) and method in PATHWAYS else cell for cell in cells]


def _leading(method: str, name: str, stores: Mapping[str, Shards], first: int) -> Heat:
    store, index = stores[f"vectors_{method}"].find(name)
    limits = limits_of(store)
    assert limits is not None  # or `_solved` would have refused it
    return Heat(on_grid(store, index)[:, :, first - 1], (float(limits[first - 1, 0]), float(limits[first - 1, 1])))


def _photo(name: str, stores: Mapping[str, Shards]) -> Picture:
    store, index = stores["images"].find(name)
    return store.read("rgb", index)
