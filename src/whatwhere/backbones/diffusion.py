"""Latent diffusion in diffusers' layout: an image is encoded, noise is added, and the UNet is read.

The prompt is empty; cross-attention and the other networks' attention are left out (section 3.2).
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.repository import Repository, built, moved
from whatwhere.backbones.weights import first_line
from whatwhere.errors import InputError

#: What a pipeline must consist of: part -> (library, class). Nothing else in its folder is ever looked at.
PARTS = {
    "vae": ("diffusers", "AutoencoderKL"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "scheduler": ("diffusers", None),
}
EXCLUDED = ("vae.*", "text_encoder.*", "*.attn2")
#: Noise step when none is asked for: the paper's for final features (section 4.2).
STEP = 250


class Pipeline(nn.Module):
    """The three networks under diffusers' names."""

    def __init__(self, vae: Any, unet: Any, text_encoder: Any) -> None:
        super().__init__()
        self.vae, self.unet, self.text_encoder = vae, unet, text_encoder


def load(
    name: str,
    *,
    repository: Repository,
    weights: str = "hub",
    seed: int = 0,
    layers: tuple[str, ...] = ("*",),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
) -> Backbone:
    """A diffusion pipeline's networks, ready to capture.

    The only option is `step`, the noise step t (0-999). `seed` draws the noise, the same for every image.
    The final features are those after the second up block.

    ASSUME: one noise map for all images of a size, so that an image's features do not depend on its batch.

    Raises `InputError` for another kind of pipeline, a damaged file, weights that do not fit, or a wrong option.
    """
    _check_parts(name, repository.read_json("model_index.json"))
    kept = _kept(name, repository)
    step = _step(name, options or {}, len(kept))
    configs = {part: repository.read_json(f"{part}/config.json") for part in ("vae", "unet", "text_encoder")}
    network: Any = built(name, lambda: _create(name, configs), seed=seed, device=device)
    source = f"random (seed {seed})" if weights == "random" else _fill(repository, network)
    moved(network, name, device)
    keep = float(kept[step])
    ids = _empty_prompt(repository, network.text_encoder.config).to(_device(network))
    with torch.no_grad():
        prompt = network.text_encoder(ids).last_hidden_state

    def run(pixels: Float[Tensor, "image 3 y x"], _seeds: Any = None) -> Float[Tensor, "image token channel"]:
        latents = network.vae.encode(pixels).latent_dist.mode() * network.vae.config.scaling_factor
        noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed)).to(latents)
        noisy = keep**0.5 * latents + (1 - keep) ** 0.5 * noise
        after: list[Tensor] = []
        hook = network.unet.up_blocks[1].register_forward_hook(lambda _module, _inputs, output: after.append(output))
        try:
            network.unet(noisy, step, prompt.expand(len(pixels), -1, -1))
        finally:
            hook.remove()
        return rearrange(after[0], "image channel y x -> image (y x) channel")

    return Backbone(
        name=name,
        model=network,
        run=run,
        image_tokens=lambda tokens: slice(0, tokens),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        patch_px=_halvings(network.vae) * _halvings(network.unet),
        size_px=int(network.unet.config.sample_size) * _halvings(network.vae),
        weights=source,
        layers=layers,
        excluded=EXCLUDED,
    )


def _create(name: str, configs: dict[str, dict[str, Any]]) -> Pipeline:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    vae, unet = AutoencoderKL.from_config(configs["vae"]), UNet2DConditionModel.from_config(configs["unet"])
    described = CLIPTextConfig.from_dict(configs["text_encoder"])
    described._attn_implementation = "sdpa"  # not the one in the file, which may name code of the hub
    _check_fit(name, vae.config, unet.config, described)
    return Pipeline(vae, unet, CLIPTextModel(described))


def _check_fit(name: str, vae: Any, unet: Any, text: Any) -> None:
    asked = (unet.in_channels, unet.cross_attention_dim, unet.addition_embed_type)
    given = (vae.latent_channels, text.hidden_size, None)
    if asked != given:
        raise InputError(
            f"backbone {name}: expected a UNet for latents of {given[0]} channels and texts of {given[1]}, got one "
            f"for {asked[0]} and {asked[1]}{' and more' if asked[2] else ''}; choose a plain text-to-image model"
        )
    if len(unet.up_block_types) < 2:
        raise InputError(f"backbone {name}: expected a UNet of at least two up blocks, got {len(unet.up_block_types)}")


def _fill(repository: Repository, network: Any) -> str:
    hashes = []
    for part, names in {
        "vae": ("vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin"),
        "unet": ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin"),
        "text_encoder": ("text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"),
    }.items():
        optional = ("text_model.embeddings.position_ids", "embeddings.position_ids")
        network_part, path = getattr(network, part), repository.file(*names)
        hashes.append(repository.fill(network_part, path, part=part, optional=optional, aliases=_aliases))
    return repository.origin(*hashes)


def _aliases(name: str) -> tuple[str, ...]:
    """Stable Diffusion 1.4 names its text encoder's and its autoencoder's attention as older libraries did."""
    modern = name
    for old, new in {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}.items():
        modern = modern.replace(f".{old}.", f".{new}.")
    return modern, name.removeprefix("text_model."), f"text_model.{name}"


def _check_parts(name: str, index: dict[str, Any]) -> None:
    for part, (library, kind) in PARTS.items():
        found = index.get(part)
        if not isinstance(found, list) or len(found) != 2 or found[0] != library or kind not in (None, found[1]):
            raise InputError(
                f"backbone {name}: expected a pipeline whose {part} is {library}'s {kind or 'scheduler'}, got {found}; "
                "choose a latent diffusion model of that kind"
            )


def _kept(name: str, repository: Repository) -> Float[Tensor, "step"]:
    """The share of an image's variance that is left at each noise step."""
    from diffusers import DDPMScheduler

    config = repository.read_json("scheduler/scheduler_config.json")
    wanted = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
    fault = "betas outside 0 and 1"
    try:
        schedule: Any = DDPMScheduler(**{key: config[key] for key in wanted if key in config})
        kept: Tensor = schedule.alphas_cumprod
        if bool(((kept >= 0) & (kept <= 1)).all()):
            return kept
    except Exception as error:  # the scheduler refuses values with whatever its arithmetic raises
        fault = first_line(error)
    raise InputError(
        f"backbone {name}: expected a noise schedule in scheduler/scheduler_config.json, got {fault}; "
        "the file is damaged or of another version"
    )


def _step(name: str, options: dict[str, Any], steps: int) -> int:
    unknown = [key for key in options if key != "step"]
    step = options.get("step", STEP)
    if unknown or type(step) is not int or not 0 <= step < steps:
        raise InputError(f"backbone {name}: expected the option `step` from 0 to {steps - 1}, got {options}")
    return step


def _empty_prompt(repository: Repository, config: Any) -> Int[Tensor, "1 token"]:
    """The token numbers of no words at all, as long as the text encoder reads."""
    from transformers import CLIPTokenizer

    if repository.file("tokenizer/tokenizer.json", "tokenizer/merges.txt").name == "merges.txt":
        repository.file("tokenizer/vocab.json")
    folder = repository.file("tokenizer/tokenizer_config.json").parent
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder))
        longest = config.max_position_embeddings
        ids = tokenizer("", padding="max_length", max_length=longest, return_tensors="pt").input_ids
        fault = f"token {int(ids.max())} of {config.vocab_size}" if ids.max() >= config.vocab_size else None
    except Exception as error:  # the tokenizer's reader reports damage with many types
        fault = first_line(error)
    if fault:
        raise InputError(
            f"model {repository.name}: expected the text encoder's tokenizer in {folder}, got {fault}; fetch it again"
        )
    return ids


def _halvings(network: Any) -> int:
    """By how much a network shrinks an image: a half after every block but the last."""
    return 2 ** (len(network.config.block_out_channels) - 1)


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
