"""Which noise an image gets: options, noise schedules, and the draws (sections 3.2 and 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.repository import Repository
from whatwhere.backbones.weights import first_line

#: Noise step when none is asked for: the paper's for final features (section 4.2).
STEP = 250
#: Last noise step when a range is asked for without its end (section 4.1).
T_MAX = 500
#: Noise steps of flow matching: σ = step / FLOW_STEPS.
FLOW_STEPS = 1000
RANGE = ("samples", "t_min", "t_max")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

Latents = Float[Tensor, "image channel row column"]


@dataclass(frozen=True)
class Noise:
    """`samples` draws of noise for each image, the steps from as many equal strata of `lowest` to `highest`.

    `weights`: what the latents and the noise are multiplied by at each step of the schedule.
    """

    weights: Float64[Tensor, "step 2"]
    lowest: int
    highest: int
    samples: int

    def draws(self, latents: Latents, seeds: Sequence[int]) -> Iterator[tuple[Int[Tensor, "image"], Latents]]:
        """Sample after sample, the noise step of each image and its latents with noise of that step.

        Every image draws from its own seed alone, on the CPU, whatever device it is on.
        """
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        for sample in range(self.samples):
            noise = torch.stack([torch.randn(latents.shape[1:], generator=own) for own in generators]).to(latents)
            steps = torch.tensor([self.step(sample, own) for own in generators])
            keep, add = (weight.to(latents)[:, None, None, None] for weight in self.weights[steps].T)
            yield steps.to(latents.device), keep * latents + add * noise

    def step(self, sample: int, generator: torch.Generator) -> int:
        """A noise step from stratum number `sample`; over all strata each step is equally likely."""
        steps = self.highest - self.lowest + 1
        share = (sample + torch.rand((), generator=generator, dtype=torch.float64).item()) / self.samples
        return min(self.lowest + int(share * steps), self.highest)


def read_noise(name: str, options: dict[str, Any], weights: Float64[Tensor, "step 2"]) -> Noise:
    """Raises `InputError` for an unknown option, two that exclude each other, or a value out of range."""
    unknown = [key for key in options if key not in ("step", *RANGE, "precision")]
    if unknown:
        raise InputError(
            f"backbone {name}: expected the options step, {', '.join(RANGE)} and precision, "
            f"got {', '.join(map(str, unknown))}; correct `options`"
        )
    ranged = {key: options[key] for key in RANGE if key in options}
    if not ranged:
        step = _number(name, "step", options.get("step", STEP), 0, len(weights) - 1)
        return Noise(weights, step, step, 1)
    if "step" in options:
        raise InputError(
            f"backbone {name}: expected the option step or {', '.join(RANGE)}, got step and {', '.join(ranged)}; "
            "for several samples at one step set t_min and t_max to it"
        )
    highest = _number(name, "t_max", ranged.get("t_max", min(T_MAX, len(weights) - 1)), 0, len(weights) - 1)
    lowest = _number(name, "t_min", ranged.get("t_min", 0), 0, highest)
    return Noise(weights, lowest, highest, _number(name, "samples", ranged.get("samples", 1), 1))


def read_precision(name: str, options: dict[str, Any]) -> torch.dtype:
    """Raises `InputError` for a type of number that no network computes in."""
    found = options.get("precision", "float32")
    if not isinstance(found, str) or found not in PRECISIONS:
        raise InputError(f"backbone {name}: expected the option `precision` {', '.join(PRECISIONS)}, got {found!r}")
    return PRECISIONS[found]


def diffusion_schedule(name: str, repository: Repository) -> Float64[Tensor, "step 2"]:
    """√ᾱ and √(1 − ᾱ), where ᾱ is the share of an image's variance that is left at each step.

    Raises `InputError` where the scheduler's file describes no such schedule.
    """
    from diffusers import DDPMScheduler

    config = repository.read_json("scheduler/scheduler_config.json")
    wanted = (
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "rescale_betas_zero_snr",
    )
    fault = "betas outside 0 and 1"
    try:
        if not config.get("trained_betas"):
            _ = [config[key] for key in wanted[:4]]  # what is not said is not to be guessed
        schedule: Any = DDPMScheduler(**{key: config[key] for key in wanted if key in config})
        kept: Tensor = schedule.alphas_cumprod.double()
        if bool(((kept >= 0) & (kept <= 1)).all()):
            return torch.stack([kept, 1 - kept], 1).sqrt()
    except KeyError as error:
        fault = f"none of {error}"
    except Exception as error:  # the scheduler refuses values with whatever its arithmetic raises
        fault = first_line(error)
    raise InputError(
        f"backbone {name}: expected a noise schedule in scheduler/scheduler_config.json, got {fault}; "
        "the file is damaged or of another version"
    )


def flow_schedule() -> Float64[Tensor, "step 2"]:
    """1 − σ and σ: in flow matching a noisy image lies on the line from the image to the noise."""
    share = torch.arange(FLOW_STEPS, dtype=torch.float64) / FLOW_STEPS
    return torch.stack([1 - share, share], 1)


def _number(name: str, key: str, found: Any, least: int, most: int | None = None) -> int:
    if type(found) is not int or found < least or (most is not None and found > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"backbone {name}: expected the option `{key}` {limits}, got {found!r}")
    return found
