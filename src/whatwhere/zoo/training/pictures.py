"""Pictures for the model cards: loss curves, samples of the diffusion model, reconstructions of its autoencoder."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.scenes.render import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: In the manner of the captions that the model was trained with, from common places to rare ones.
PROMPTS = (
    "a photo of two boats by the water under a clear sky",
    "a photo of three cars on a road in front of buildings under clouds",
    "a view of several trees on the grass in front of mountains under a clear sky",
    "a picture of a house and two trees on the grass under a cloudy sky",
    "a view of a boat on the water beside sand at dusk",
    "a photo of two animals and a tree on the grass under clouds",
    "a picture of buildings and a car on a road at night",
    "a view of mountains and a tree line under a cloudy sky",
    "a photo of two people on the sand beside water under a clear sky",
    "a photo of a sky, a water",
)
GUIDANCE = 3.0
DPI = 150
#: Side of a shown image, in inches.
CELL_IN = 1.15
#: Of diffusers' loaders: nothing from the network, nothing that could be executed, full precision.
_LOADING: dict[str, Any] = {
    "local_files_only": True,
    "use_safetensors": True,
    "low_cpu_mem_usage": False,
    "dtype": torch.float32,
}


def draw_losses(history: dict[str, Any], output: Path, *, title: str) -> None:
    """The curves of `loop.train`'s history as a PNG: a panel for each loss, training and validation over the steps.

    Shown are `loss` and, where there is one, the entropy of the teacher's answers (one that collapsed has none).
    Raises `InputError` for a history without a loss.
    """
    names = [name for name in ("loss", "entropy", "patch_entropy") if name in history["training"]]
    if not names:
        raise InputError(f"loss curves {output}: expected a history with a loss, got {list(history['training'])}")
    figure = _figure(3.8 * len(names), 2.8)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_curve(axes, history, name)
    figure.suptitle(title, fontsize=10)
    _save(figure, output)


def _draw_curve(axes: Axes, history: dict[str, Any], name: str) -> None:
    values = []
    for kind, colour in {"training": "0.6", "validation": "#0072B2"}.items():
        curve = np.array(history[kind].get(name, [])).reshape(-1, 2)
        values.append(curve[:, 1])
        if len(curve):
            axes.plot(curve[:, 0], curve[:, 1], marker="." if len(curve) < 20 else "", color=colour, label=kind)
    every = np.concatenate(values)
    # a logarithm only where it shows more: losses that fall to less than half
    if name == "loss" and every.min() > 0 and every.max() > 2 * every.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:.2g}")
    axes.set(xlabel="step", ylabel=name.replace("_", " "))
    axes.tick_params(which="both", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def draw_samples(
    folder: Path, output: Path, *, seed: int, steps: int, prompts: Sequence[str] = PROMPTS, images_each: int = 2
) -> None:
    """A PNG of what the pipeline in `folder` paints for each prompt, `images_each` times.

    DDIM with `steps` steps and guidance `GUIDANCE`; every image has its own seed, so the others do not matter.
    """
    painted = paint(folder, [prompt for prompt in prompts for _ in range(images_each)], seed=seed, steps=steps)
    across = 2
    rows = -(-len(prompts) // across)
    figure = _figure(across * images_each * CELL_IN + 0.6, rows * (CELL_IN + 0.42))
    for part, place in zip(figure.subfigures(rows, across, squeeze=False).flat, range(rows * across), strict=True):
        if place < len(prompts):
            lines = textwrap.wrap(prompts[place], 40)
            # two lines everywhere, so that the images keep one size
            part.suptitle("\n".join([*lines, ""][: max(len(lines), 2)]), fontsize=7)
            cells = part.subplots(1, images_each, squeeze=False)[0]
            for axes, image in zip(cells, painted[place * images_each :], strict=False):
                _show(axes, image)
    _save(figure, output)


def paint(folder: Path, prompts: Sequence[str], *, seed: int, steps: int) -> UInt8[np.ndarray, "image y x 3"]:
    """An image for each prompt, by diffusers' own pipeline and the scheduler that lies in `folder`."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        str(folder), safety_checker=None, requires_safety_checker=False, **_LOADING
    )
    pipeline.set_progress_bar_config(delay=2, leave=False, desc="samples")
    generators = [
        torch.Generator().manual_seed(seed_for(seed, "sample", str(i), prompt)) for i, prompt in enumerate(prompts)
    ]
    found = pipeline(
        list(prompts), num_inference_steps=steps, guidance_scale=GUIDANCE, generator=generators, output_type="np"
    ).images
    return np.rint(255 * np.asarray(found)).astype(np.uint8)


def draw_reconstructions(folder: Path, output: Path, *, first_seed: int, images: int = 8, size_px: int = 64) -> None:
    """A PNG of scenes (above) and what the autoencoder in `folder` makes of them (below)."""
    originals = np.stack([render(seed, size_px=size_px).image for seed in range(first_seed, first_seed + images)])
    answers = reconstruct(folder, originals)
    figure = _figure(images * CELL_IN + 0.5, 2 * CELL_IN + 0.1)
    grid = figure.subplots(2, images, squeeze=False)
    for row, (name, shown) in enumerate({"scene": originals, "autoencoder": answers}.items()):
        grid[row, 0].set_ylabel(name, fontsize=8)
        for axes, image in zip(grid[row], shown, strict=True):
            _show(axes, image)
    _save(figure, output)


def reconstruct(folder: Path, images: UInt8[np.ndarray, "image y x 3"]) -> UInt8[np.ndarray, "image y x 3"]:
    """Images encoded to the mode of their latents and decoded again, by the autoencoder of the pipeline in `folder`."""
    from diffusers import AutoencoderKL

    network = AutoencoderKL.from_pretrained(str(folder / "vae"), **_LOADING).eval()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        found = network.decode(network.encode(pixels).latent_dist.mode()).sample
    return np.rint((found.clamp(-1, 1).permute(0, 2, 3, 1).numpy() + 1) * 127.5).astype(np.uint8)


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width_in, height_in), layout="constrained")


def _show(axes: Axes, image: UInt8[np.ndarray, "y x 3"]) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _save(figure: Figure, output: Path) -> None:
    with replacing(output) as partial:
        # without the version of matplotlib, the same picture is the same bytes
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
