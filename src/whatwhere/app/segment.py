"""One's own photographs to regions, and with prompts to named regions: the five steps on one image, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image

from whatwhere.app.eyes import opened
from whatwhere.app.photos import COMPRESS_LEVEL, check_output, each_photo, place_of, protocol_of, solve_photo
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import PRESETS
from whatwhere.evaluate.borders import Borders, to_pixels
from whatwhere.method.rules import AUTO, Rule
from whatwhere.publish.figures import eigenvector_rgb, label_colours, named_overlay, region_overlay

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

#: How a prompt of one's own is put to the backbone: it may be a noun with or without its article.
PROMPTED = ("{}", "a photo of {}", "a picture of {}", "an image of {}", "a view of {}")


def segment_photos(
    photos: Sequence[Path],
    out: Path,
    *,
    backbone: str,
    backbone_settings: dict[str, Any],
    clusters: int | Literal["auto"],
    seed: int,
    report: Callable[[str], None],
    prompts: Sequence[str] = (),
    threshold: float = 0.0,
    warn: Callable[[str], None] = lambda line: None,
    **choice: Any,
) -> list[str]:
    """Segments every photo into files under `out`; answers one line for each that could not be read.

    With `prompts`, regions get the name of the most probable, unless it is not above `threshold`. `choice` is
    `segment`'s. A bad photo leaves the others unharmed, and none of its own files behind. `report` gets a line a
    photo, `warn` what to know of the backbone (`eyes.caution`).
    """
    check_output(out, photos)
    _check_prompts(prompts)
    model = opened(backbone, backbone_settings, warn=warn)
    texts = embedded(model, prompts) if prompts else None

    def work(photo: Path, name: str, image: np.ndarray) -> Callable[[], str]:
        """The regions of one photograph, to be written; says how many and which names."""
        asked: dict[str, Any] = {"texts": texts, "threshold": threshold, "protocol": protocol_of(backbone), **choice}
        found = segment(model, image, clusters=clusters, seed=seed, **asked)
        found |= {"weights": np.array(model.weights), "photo": np.array(place_of(photo))}
        said = _counted(found["clusters"])
        if texts is not None:
            found["names"] = np.array(["", *prompts])
            said = _said(found, prompts)
        return lambda: f"{said} -> {_write(out, name, image, found)}"

    return each_photo(photos, out, work, doing="segmenting", report=report, whose=partial(_whose, out))


def segment(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    clusters: int | Literal["auto"] = "auto",
    seed: int = 0,
    texts: np.ndarray | None = None,
    threshold: float = 0.0,
    borders: Borders = "image",
    choose: Rule = AUTO,
    **choice: Any,
) -> dict[str, Any]:
    """Regions of one photograph, with borders that follow the image or the `tokens`; `choice` is `solve_photo`'s.

    Clusters `auto` are as many as the rule `choose` says (`method.choosing`), and one for a picture that shows nothing.

    Answers `labels` `[y, x]` at the photograph's own size, `vectors` `[row, column, vector]`, `values` `[vector]`,
    `clusters`; with `texts` `[text, channel]` also `named` `[y, x]`, 0 where none is probable enough and n + 1 for the
    n-th text, and for each region its `region_names` and `region_scores`, probabilities (appendix D.1).
    """
    from whatwhere.method.cluster import cluster

    solved = solve_photo(backbone, image, seed=seed, joint=texts is not None, **choice)
    if clusters == "auto" and solved.shows_nothing(backbone):
        clusters = 1
    regions = cluster(solved.vectors, clusters=clusters, seed=seed, choose=choose, values=solved.eigenvalues())
    found: dict[str, Any] = {
        "labels": to_pixels(regions.labels.reshape(solved.grid), image, borders),
        "vectors": rearrange(solved.vectors, "(row column) vector -> row column vector", row=solved.grid[0]),
        "values": solved.values,
        "clusters": regions.clusters,
    }
    if texts is None or backbone.language is None or solved.features.joint is None:
        return found
    from whatwhere.evaluate.zeroshot import on_grid, recognise, region_features

    joint = on_grid(solved.features.joint[0].cpu().numpy(), solved.features.final_grid, solved.grid)
    decide: Any = {"threshold": threshold, "measure": "probability", "scale": backbone.language.scale}
    names, scores = recognise(region_features(joint, regions.labels), texts, **decide)
    return {**found, "named": names[found["labels"]], "region_names": names, "region_scores": scores}


def embedded(backbone: Backbone, prompts: Sequence[str]) -> np.ndarray:
    """The prompts in the space that the backbone's images share with texts. Raises `InputError` where it has none."""
    from whatwhere.evaluate.zeroshot import text_embeddings

    if backbone.language is None:
        able = ", ".join(name for name in PRESETS if "clip" in name)
        raise InputError(f"--prompts: expected a backbone that reads texts ({able}), got {backbone.name}; name one")
    embed = backbone.language.embed
    return text_embeddings(lambda words: embed(words).cpu().numpy(), prompts, PROMPTED)


def _check_prompts(prompts: Sequence[str]) -> None:
    if len(prompts) == 1 and prompts[0]:
        raise InputError(
            f"--prompts: expected at least two phrases between commas, got {prompts[0]!r} alone; say what else there "
            "may be, for the most probable wins"
        )
    if len(set(prompts)) < len(prompts) or not all(prompts):
        raise InputError(
            f"--prompts: expected different phrases between commas, got {', '.join(prompts)!r}; correct it"
        )


def _said(found: dict[str, Any], prompts: Sequence[str]) -> str:
    """Each name that was given, with the probability of its surest region, and those that were not."""
    surest: dict[int, float] = {}
    for name, score in zip(found["region_names"].tolist(), found["region_scores"].tolist(), strict=True):
        surest[name] = max(score, surest.get(name, 0.0))
    words = [f"{prompts[name - 1] if name else 'nothing of these'} {surest[name]:.2f}" for name in sorted(surest)]
    nowhere = [phrase for number, phrase in enumerate(prompts, 1) if number not in surest]
    rest = f"; nowhere: {', '.join(nowhere)}" if nowhere else ""
    return f"{_counted(found['clusters'])}: {', '.join(words)}{rest}"


def _counted(regions: int) -> str:
    return f"{regions} region{'' if regions == 1 else 's'}"


def _write(out: Path, name: str, image: np.ndarray, found: dict[str, Any]) -> Path:
    """All files, or none that is not whole; answers the one to look at."""
    pictures = {
        "regions": Image.fromarray(region_overlay(image, found["labels"])),
        "vectors": Image.fromarray(_vector_strip(found["vectors"], *image.shape[:2])),
        "labels": _label_map(found["labels"], found["clusters"]),
    }
    if "named" in found:
        pictures["named"] = Image.fromarray(named_overlay(image, found["named"], list(found["names"])))
    for kind, picture in pictures.items():
        with replacing(out / f"{name}_{kind}.png") as unfinished:
            picture.save(unfinished, format="PNG", compress_level=COMPRESS_LEVEL)
    with replacing(out / f"{name}.npz") as unfinished, unfinished.open("wb") as opened:
        np.savez_compressed(opened, **found)
    return out / f"{name}_{'named' if 'named' in found else 'regions'}.png"


def _whose(out: Path, name: str) -> str | None:
    """Which photograph the files of a name are of, by what lies beside its pictures."""
    if not (file := out / f"{name}.npz").exists():
        return None
    with suppress(Exception), np.load(file, allow_pickle=False) as found:  # whatever lies there, it is not this one's
        return str(found["photo"])
    return "?"


def _label_map(labels: np.ndarray, clusters: int) -> Image.Image:
    """Region numbers as an indexed PNG in the overlay's colours; as 16-bit grey where there are over 256."""
    if clusters > 256:
        return Image.fromarray(labels.astype(np.uint16))
    indexed = Image.fromarray(labels.astype(np.uint8), mode="P")
    indexed.putpalette(label_colours(np.arange(clusters)[None], clusters)[0].astype(np.uint8).tobytes())
    return indexed


def _vector_strip(vectors: np.ndarray, height: int, width: int) -> UInt8[np.ndarray, "y x 3"]:
    """Eigenvectors 1-3, 4-6, 7-9 … side by side, three at a time as RGB; what is left of a triple is cut."""
    triples = range(0, max(1, vectors.shape[-1] - 2), 3)
    return np.concatenate([eigenvector_rgb(vectors, first, height, width) for first in triples], axis=1)
