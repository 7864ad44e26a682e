"""Diffusion backbones: noise samples, and every family at tiny size against diffusers' own forward pass."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone
from whatwhere.backbones.capture import capture, record_attention
from whatwhere.backbones.diffusion.noise import Noise, flow_schedule
from whatwhere.backbones.weights import NoSuchFileError
from whatwhere.zoo.training.words import learn_tokenizer

LONGEST = 12  # tokens of a CLIP's text here
UNET = {
    "sample_size": 16,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "use_linear_projection": True,
}
SD2 = UNET | {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": (2, 4),
    "cross_attention_dim": 16,
}
XL = UNET | {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2),
    "attention_head_dim": (2, 4),
    "cross_attention_dim": 32,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 8,
}
SD3 = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 40,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 16,
    "pos_embed_max_size": 24,
    "dual_attention_layers": (0,),
    "qk_norm": "rms_norm",
}
FLUX = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 40,
    "pooled_projection_dim": 16,
    "axes_dims_rope": (4, 6, 6),
}
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
GUIDANCE = 1.0
KINDS = ("sd2", "xl", "sd3", "flux")
UNETS, TRANSFORMERS = KINDS[:2], KINDS[2:]
VARIANTS = ("sd3 without t5", "flux guided")
SIZE = (32, 48)


@pytest.fixture(scope="module")
def words():
    made = learn_tokenizer(["a red car on a road", "a view of the sea"], vocabulary=120)
    made.model_max_length = LONGEST
    return made


def vae(**settings):
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return diffusers.AutoencoderKL(
        **blocks, block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4, scaling_factor=0.4, **settings
    )


def clip(words, projected):
    end = words.eos_token_id
    config = transformers.CLIPTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        projection_dim=8,
        vocab_size=len(words),
        max_position_embeddings=LONGEST,
        bos_token_id=words.bos_token_id,
        eos_token_id=end,
        pad_token_id=end,
    )
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)


def t5():
    """A T5 encoder and a tokenizer of only its special words."""
    tokenizer = transformers.T5TokenizerFast()
    sizes = {"d_model": 40, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = transformers.T5Config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", **sizes)
    return transformers.T5EncoderModel(config), tokenizer


def make_sd2(words):
    return diffusers.StableDiffusionPipeline(
        vae=vae(),
        unet=diffusers.UNet2DConditionModel(**SD2),
        text_encoder=clip(words, projected=False),
        tokenizer=words,
        scheduler=diffusers.DDIMScheduler(**BETAS, steps_offset=1, clip_sample=False, prediction_type="v_prediction"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def make_xl(words):
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(),
        unet=diffusers.UNet2DConditionModel(**XL),
        text_encoder=clip(words, projected=False),
        text_encoder_2=clip(words, projected=True),
        tokenizer=words,
        tokenizer_2=words,
        scheduler=diffusers.EulerDiscreteScheduler(**BETAS),
        add_watermarker=False,
    )


def make_sd3(words, with_t5=True):
    encoder, tokenizer = t5() if with_t5 else (None, None)
    return diffusers.StableDiffusion3Pipeline(
        vae=vae(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        transformer=diffusers.SD3Transformer2DModel(**SD3),
        text_encoder=clip(words, projected=True),
        text_encoder_2=clip(words, projected=True),
        text_encoder_3=encoder,
        tokenizer=words,
        tokenizer_2=words,
        tokenizer_3=tokenizer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def make_flux(words, guided=False):
    encoder, tokenizer = t5()
    return diffusers.FluxPipeline(
        vae=vae(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        transformer=diffusers.FluxTransformer2DModel(**FLUX, guidance_embeds=guided),
        text_encoder=clip(words, projected=False),
        text_encoder_2=encoder,
        tokenizer=words,
        tokenizer_2=tokenizer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )


MAKERS = {
    "sd2": make_sd2,
    "xl": make_xl,
    "sd3": make_sd3,
    "sd3 without t5": lambda words: make_sd3(words, with_t5=False),
    "flux": make_flux,
    "flux guided": lambda words: make_flux(words, guided=True),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory, words):
    """A pipeline of each kind as diffusers writes it; read only."""
    folder = tmp_path_factory.mktemp("pipelines")
    for seed, (kind, make) in enumerate(MAKERS.items()):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            pipeline = make(words)
            for name, tensor in denoiser_of(pipeline).named_parameters():
                if tensor.ndim == 1 and name.endswith("bias"):  # fresh biases are 0, which hides a missing one
                    torch.nn.init.normal_(tensor, std=0.1)
            pipeline.save_pretrained(folder / kind)
    return folder


@pytest.fixture(scope="module")
def plain(originals):
    """By kind, the backbone without options; for tests that change nothing in it."""
    return {kind: load(originals / kind) for kind in KINDS}


@pytest.fixture
def copy(originals, tmp_path):
    """A pipeline that a test may change."""
    return lambda kind: Path(shutil.copytree(originals / kind, tmp_path / kind))


def images(height=SIZE[0], width=SIZE[1], count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def load(folder, **settings):
    return load_backbone("tiny", model=str(folder), **settings)


def edit(path, **changes):
    """Changes keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def denoiser_of(pipeline):
    return pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer


def part_of(folder):
    """The denoising network's folder."""
    return next(folder / name for name in ("unet", "transformer") if (folder / name).is_dir())


def noise_of(seed, shape):
    """The first noise map that a seed draws."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# What is read


def by_hand(folder, pixels, step, seeds):
    """diffusers' own networks on the same noise: the final features."""
    absent = {} if (folder / "text_encoder_3").is_dir() else dict.fromkeys(("text_encoder_3", "tokenizer_3"))
    absent = absent if "StableDiffusion3" in (folder / "model_index.json").read_text() else {}
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, **absent)
    settings, count = pipeline.vae.config, len(pixels)
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels).latent_dist.mean
        latents = (latents - (settings.shift_factor or 0)) * settings.scaling_factor
        noise = torch.stack([noise_of(seed, latents.shape[1:]) for seed in seeds])
        call = hand_unet if hasattr(pipeline, "unet") else hand_sd3 if hasattr(pipeline, "tokenizer_3") else hand_flux
        return call(pipeline, latents, noise, step, pixels, count)


def hand_unet(pipeline, latents, noise, step, pixels, count):
    betas = torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, 1000) ** 2
    keep = torch.cumprod(1 - betas, 0)[step]
    noisy = keep.sqrt() * latents + (1 - keep).sqrt() * noise
    more = {}
    if hasattr(pipeline, "text_encoder_2"):
        prompt, _, pooled, _ = pipeline.encode_prompt("", device="cpu", do_classifier_free_guidance=False)
        size = tuple(pixels.shape[-2:])
        ids = pipeline._get_add_time_ids(size, (0, 0), size, torch.float32, text_encoder_projection_dim=8)
        more = {"text_embeds": pooled.repeat(count, 1), "time_ids": ids.repeat(count, 1)}
    else:
        prompt, _ = pipeline.encode_prompt("", "cpu", 1, do_classifier_free_guidance=False)
    seen = []
    pipeline.unet.up_blocks[1].register_forward_hook(lambda _m, _g, output: seen.append(output))
    pipeline.unet(noisy, step, prompt.repeat(count, 1, 1), added_cond_kwargs=more)
    return seen[0].flatten(2).transpose(1, 2)


def hand_sd3(pipeline, latents, noise, step, pixels, count):
    prompt, _, pooled, _ = pipeline.encode_prompt("", "", "", device="cpu", do_classifier_free_guidance=False)
    sigma = step / 1000
    seen = []
    last = pipeline.transformer.transformer_blocks[-1]
    last.register_forward_hook(lambda _m, _g, output: seen.append(output[1]))
    pipeline.transformer(
        (1 - sigma) * latents + sigma * noise,
        encoder_hidden_states=prompt.repeat(count, 1, 1),
        pooled_projections=pooled.repeat(count, 1),
        timestep=torch.full((count,), 1000 * sigma),
    )
    return seen[0]


def hand_flux(pipeline, latents, noise, step, pixels, count):
    prompt, pooled, txt_ids = pipeline.encode_prompt("", "", device="cpu")
    sigma = step / 1000
    channels, height, width = latents.shape[1:]
    packed = pipeline._pack_latents((1 - sigma) * latents + sigma * noise, count, channels, height, width)
    img_ids = pipeline._prepare_latent_image_ids(count, height // 2, width // 2, "cpu", torch.float32)
    seen = []
    last = pipeline.transformer.single_transformer_blocks[-1]
    last.register_forward_hook(lambda _m, _g, output: seen.append(output[1]))
    guided = pipeline.transformer.config.guidance_embeds
    pipeline.transformer(
        packed,
        encoder_hidden_states=prompt.repeat(count, 1, 1),
        pooled_projections=pooled.repeat(count, 1),
        timestep=torch.full((count,), sigma),
        img_ids=img_ids,
        txt_ids=txt_ids,
        guidance=torch.full((count,), GUIDANCE) if guided else None,
    )
    return seen[0]


@pytest.mark.parametrize("kind", [*KINDS, *VARIANTS])
def test_the_features_are_what_diffusers_computes_from_the_same_noise(originals, kind):
    for step, seeds in ((250, [7, 8]), (40, [9, 3])):
        backbone = load(originals / kind, options={"step": step})
        pixels = backbone.prepare(images())
        expected = by_hand(originals / kind, pixels, step, seeds)
        found = capture(backbone, images(), seeds=seeds).final
        assert expected.std() > 1e-3
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_reproduces_what_its_layer_returned(plain, kind):
    backbone = plain[kind]
    calls, _ = record_attention(backbone.model, lambda: backbone.run(backbone.prepare(images())))
    names = {layer.name for layer in capture(backbone, images()).layers}
    recorded = [call for call in calls if call.name in names]
    assert len(recorded) == len(names) > 1
    for call in recorded:
        attention = torch.softmax(call.query @ call.key.transpose(-1, -2) * call.scale, -1)
        torch.testing.assert_close(attention @ call.value, call.output, atol=1e-5, rtol=1e-5)


def image_values(backbone, run):
    """By layer, the values of the image's tokens as the module's own projection computed them."""
    found, handles, blocks = {}, [], backbone.model.named_modules()
    for name, module in blocks:
        if name.endswith((".attn", ".attn1", ".attn2")) and "single" not in name:
            handles.append(
                module.to_v.register_forward_hook(lambda _m, _g, output, name=name: found.update({name: output}))
            )
        if name.startswith("transformer.single_transformer_blocks.") and name.count(".") == 2:

            def single(block, _given, named, name=name):
                image, _ = block.norm(named["hidden_states"], emb=named["temb"])
                found[f"{name}.attn"] = block.attn.to_v(image)

            handles.append(module.register_forward_pre_hook(single, with_kwargs=True))
    features = run()
    for handle in handles:
        handle.remove()
    return found, features


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_images_tokens_remain_on_the_images_grid(plain, kind):
    backbone = plain[kind]
    values, features = image_values(backbone, lambda: capture(backbone, images()))
    for layer in features.layers:
        assert layer.grid[0] * 3 == layer.grid[1] * 2
        joined = layer.value.transpose(1, 2).flatten(2)
        torch.testing.assert_close(joined, values[layer.name], atol=1e-6, rtol=1e-6)
    if kind in TRANSFORMERS:
        assert backbone.patch_px == 4
        assert {layer.grid for layer in features.layers} == {(8, 12)} == {features.final_grid}
    else:
        assert {layer.name.rpartition(".")[2] for layer in features.layers} == {"attn1"}


def test_layers_go_by_diffusers_names(plain):
    names = {kind: [a.name for a in capture(backbone, images()).layers] for kind, backbone in plain.items()}
    assert {name.split(".")[1] for name in names["xl"]} == {"down_blocks", "mid_block", "up_blocks"}
    blocks = [f"transformer.transformer_blocks.{i}.attn" for i in range(3)]
    assert names["sd3"] == [blocks[0], "transformer.transformer_blocks.0.attn2", *blocks[1:]]
    singles = [f"transformer.single_transformer_blocks.{i}.attn" for i in range(2)]
    assert names["flux"] == [blocks[0], *singles]


@pytest.mark.parametrize("kind", KINDS)
def test_layers_can_be_listed_without_memory(originals, plain, kind):
    names = [layer.name for layer in capture(plain[kind], images()).layers]
    half = load(originals / kind, weights="random", device="meta", options={"samples": 2, "precision": "bfloat16"})
    first = [layer for layer in capture(half, images()).layers if layer.sample == 0]
    assert [layer.name for layer in first] == names
    assert {layer.query.dtype for layer in first} == {torch.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
def test_loading_and_capturing_draw_no_random_numbers(originals, kind):
    before = torch.get_rng_state()
    capture(load(originals / kind), images())
    capture(load(originals / kind, weights="random", seed=3), images())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["xl", "sd3", "flux"])
def test_random_weights_follow_their_seed_and_need_no_file(copy, kind):
    folder = copy(kind)
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    first, again, other = (
        capture(load(folder, weights="random", seed=seed), images(), seeds=[1, 2]).final for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)
    for part in folder.glob("text_encoder*"):
        edit(part / "config.json", dtype="float16")  # says how weights were stored, not how to compute
    assert torch.equal(capture(load(folder, weights="random", seed=1), images(), seeds=[1, 2]).final, first)


def test_an_image_is_told_its_own_size(originals):
    """XL hears height and width beside the prompt: the same pixels in another frame are another question."""
    backbone = load(originals / "xl")
    told = []
    backbone.model.unet.register_forward_pre_hook(
        lambda _m, _g, named: told.append(named["added_cond_kwargs"]["time_ids"]), with_kwargs=True
    )
    capture(backbone, images())
    assert told[0].tolist() == [[32, 48, 0, 0, 32, 48]] * 2


@pytest.mark.parametrize("written", ["null", "absent"])
def test_stable_diffusion_3_reads_zeros_for_a_t5_that_is_not_there(originals, copy, written):
    folder = copy("sd3")
    edit(folder / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    shutil.rmtree(folder / "text_encoder_3")
    shutil.rmtree(folder / "tokenizer_3")
    pixels = load(folder).prepare(images())
    expected = by_hand(folder, pixels, 250, [0, 0])
    if written == "absent":
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps({k: v for k, v in index.items() if k != "text_encoder_3"}))
    found = capture(load(folder), images()).final
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, capture(load(originals / "sd3"), images()).final, atol=1e-4)


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_t5_is_let_go_once_the_prompt_is_read(originals, kind):
    kinds = {type(module).__name__ for module in load(originals / kind).model.modules()}
    assert "T5EncoderModel" not in kinds
    assert {"AutoencoderKL", "CLIPTextTransformer", "CLIPTextModel"} & kinds


PAPER = {  # of Stable Diffusion 1.4
    "vae": {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
    },
    "unet": {
        "sample_size": 64,
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "text_encoder": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
}


def test_stable_diffusion_14_has_the_papers_graphs(copy):
    """Section 4.1: 16 self-attention layers of 8 heads; table 2: from 64 × 64 tokens to 8 × 8."""
    folder = copy("sd2")
    for part, config in PAPER.items():
        (folder / part / "config.json").write_text(json.dumps(config))
    backbone = load(folder, weights="random", device="meta")
    layers = capture(backbone, images(512, 512, count=1)).layers
    assert (backbone.size_px, backbone.patch_px) == (512, 64)
    assert (len(layers), {layer.query.shape[1] for layer in layers}) == (16, {8})
    assert {layer.grid[0] for layer in layers} == {64, 32, 16, 8}


# Noise samples


SAMPLES = {"samples": 3, "t_min": 100, "t_max": 400}


def steps_asked(backbone):
    """A list that fills with the noise steps of every pass, while the backbone runs."""
    asked = []
    network = denoiser_of(backbone.model)
    network.register_forward_pre_hook(
        lambda _m, given, named: asked.append(named.get("timestep", given[-2] if len(given) > 1 else None)),
        with_kwargs=True,
    )
    return asked


@pytest.mark.parametrize(("samples", "lowest", "highest"), [(1, 0, 500), (5, 20, 299), (4, 0, 9), (3, 7, 7)])
def test_steps_lie_in_their_strata_and_are_uniform(samples, lowest, highest):
    noise = Noise(flow_schedule(), lowest, highest, samples)
    width = (highest - lowest + 1) / samples
    draws = torch.tensor(
        [[noise.step(s, torch.Generator().manual_seed(seed)) for s in range(samples)] for seed in range(3000)]
    )
    for s in range(samples):
        low, high = lowest + int(s * width), min(lowest + int((s + 1) * width), highest)
        assert low <= draws[:, s].min() <= draws[:, s].max() <= high
    # the uniform distribution's mean and deviation over whole numbers, to four standard errors
    steps = draws.flatten().double()
    deviation = ((highest - lowest + 1) ** 2 - 1) ** 0.5 / 12**0.5
    assert abs(steps.mean() - (lowest + highest) / 2) <= 4 * deviation / len(draws) ** 0.5 + 1e-9
    assert abs(steps.std() - deviation) <= 0.05 * deviation + 1e-9
    assert {lowest, highest} <= set(draws.flatten().tolist()) or highest - lowest > 100


@pytest.mark.parametrize(("kind", "scale"), [("sd2", 1), ("sd3", 1), ("flux", 1000)])
def test_the_network_is_told_the_step_of_each_image(originals, kind, scale):
    backbone = load(originals / kind, options=SAMPLES)
    asked = steps_asked(backbone)
    capture(backbone, images(count=4), seeds=range(4))
    told = torch.stack(asked).float() * scale
    assert told.shape == (3, 4)
    for s in range(3):
        assert bool(((told[s] > 99 + s * 100) & (told[s] < 202 + s * 100)).all())
    assert len(set(told.flatten().tolist())) > 6


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_passes_and_final_features_their_mean(originals, plain, kind):
    once, thrice = plain[kind], load(originals / kind, options=SAMPLES)
    assert (once.samples, thrice.samples) == (1, 3)
    network = denoiser_of(thrice.model)
    finals, encoded = [], []
    if kind in UNETS:
        network.up_blocks[1].register_forward_hook(lambda _m, _g, output: finals.append(output.flatten(2).mT))
    else:
        network.norm_out.register_forward_pre_hook(lambda _m, given: finals.append(given[0]))
    thrice.model.vae.encoder.register_forward_hook(lambda *_: encoded.append(1))
    single, several = capture(once, images(), seeds=[1, 2]), capture(thrice, images(), seeds=[1, 2])
    names = [layer.name for layer in single.layers]
    assert [layer.sample for layer in several.layers] == [s for s in range(3) for _ in names]
    assert [layer.name for layer in several.layers] == [name + suffix for suffix in ("", "#2", "#3") for name in names]
    assert len(encoded) == 1
    torch.testing.assert_close(several.final, sum(finals) / 3, atol=1e-5, rtol=1e-5)
    first, second = (next(layer for layer in several.layers if layer.sample == s).query for s in (0, 1))
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"step": 250}, SAMPLES])
def test_an_images_features_depend_on_its_own_seed_only(originals, kind, options):
    backbone = load(originals / kind, options=options)
    pictures, seeds = images(24, 32, count=3), [5, 6, 7]
    together = capture(backbone, pictures, seeds=seeds)
    turned = capture(backbone, pictures[::-1].copy(), seeds=seeds[::-1]).image(0)
    alone = capture(backbone, pictures[2:], seeds=seeds[2:])
    for other in (alone, turned):
        torch.testing.assert_close(other.final, together.image(2).final, atol=1e-4, rtol=1e-4)
        for a, b in zip(other.layers, together.image(2).layers, strict=True):
            torch.testing.assert_close(a.query, b.query, atol=1e-4, rtol=1e-4)
    reseeded = capture(backbone, pictures[2:], seeds=[8])
    assert not torch.allclose(reseeded.final, alone.final, atol=1e-3)


def test_without_seeds_all_images_have_the_backbones(originals):
    for options in ({}, SAMPLES):
        backbone = load(originals / "sd2", seed=4, options=options)
        same = capture(backbone, np.repeat(images(count=1), 2, 0)).final
        torch.testing.assert_close(same[0], same[1], atol=1e-5, rtol=1e-5)
        assert torch.equal(same, capture(backbone, np.repeat(images(count=1), 2, 0), seeds=[4, 4]).final)
    with pytest.raises(InputError, match="a seed for each of 2 images, got 3"):
        capture(backbone, images(), seeds=[1, 2, 3])


def test_step_250_is_the_default_and_a_range_of_one_step_is_that_step(originals):
    alone = capture(load(originals / "sd2"), images(), seeds=[1, 2]).final
    for options in ({"step": 250}, {"t_min": 250, "t_max": 250}):
        assert torch.equal(capture(load(originals / "sd2", options=options), images(), seeds=[1, 2]).final, alone)
    defaults = load(originals / "sd2", options={"samples": 2})
    asked = steps_asked(defaults)
    capture(defaults, images(count=8), seeds=range(8))
    first, second = torch.stack(asked)
    assert 0 <= first.min() <= first.max() <= 250 <= second.min() <= second.max() <= 500


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_precision_is_that_of_the_denoiser(originals, plain, kind, name, dtype):
    exact = capture(plain[kind], images(), seeds=[1, 2])
    backbone = load(originals / kind, options={"precision": name, "step": 250})
    found = capture(backbone, images(), seeds=[1, 2])
    assert {layer.query.dtype for layer in found.layers} == {dtype}
    assert {p.dtype for p in denoiser_of(backbone.model).parameters()} == {dtype}
    assert {p.dtype for p in backbone.model.vae.parameters()} == {torch.float32} == {found.final.dtype}
    texts = torch.float32 if name == "float16" else dtype  # T5 overflows in float16
    assert {p.dtype for p in backbone.model.text_encoder.parameters()} == {texts}
    error = (found.final - exact.final).norm() / exact.final.norm()
    assert 0 < error < 0.05


ALL = "step, samples, t_min, t_max and precision"
WRONG = {
    "unknown": ({"stop": 1}, f"the options {ALL}, got stop"),
    "both": ({"step": 5, "samples": 2}, "step or samples, t_min, t_max, got step and samples; for several samples at"),
    "late": ({"step": 1000}, "`step` from 0 to 999, got 1000"),
    "early": ({"step": -1}, "`step` from 0 to 999, got -1"),
    "broken": ({"step": 2.5}, "`step` from 0 to 999, got 2.5"),
    "true": ({"step": True}, "`step` from 0 to 999, got True"),
    "beyond": ({"t_max": 1000}, "`t_max` from 0 to 999, got 1000"),
    "crossed": ({"t_min": 300, "t_max": 200}, "`t_min` from 0 to 200, got 300"),
    "none": ({"samples": 0}, "`samples` of at least 1, got 0"),
    "words": ({"samples": "5"}, "`samples` of at least 1, got '5'"),
    "half": ({"precision": "half"}, "`precision` float32, bfloat16, float16, got 'half'"),
    "list": ({"precision": [16]}, r"`precision` float32, bfloat16, float16, got \[16\]"),
}


@pytest.mark.parametrize("options", WRONG)
@pytest.mark.parametrize("kind", ["sd2", "sd3"])
def test_wrong_options_are_one_line(originals, kind, options):
    given, message = WRONG[options]
    with pytest.raises(InputError, match=f"backbone tiny: expected .*{message}") as caught:
        load(originals / kind, options=given)
    assert "\n" not in str(caught.value)


def test_the_last_step_of_the_schedule_can_be_asked_for(originals):
    for kind in ("sd2", "sd3"):
        for options in ({"step": 999}, {"t_min": 999, "t_max": 999}):
            assert capture(load(originals / kind, options=options), images()).final.isfinite().all()


# Weights in several files


def shard(folder, part, size):
    """Splits a part's weights over several files as the hub has them, by the library's own writer."""
    kind = json.loads((folder / "model_index.json").read_text())[part]
    network = getattr(diffusers if kind[0] == "diffusers" else transformers, kind[1]).from_pretrained(folder / part)
    for path in (folder / part).glob("*.safetensors"):
        path.unlink()
    network.save_pretrained(folder / part, max_shard_size=size)
    (index,) = (folder / part).glob("*.safetensors.index.json")
    assert len(list((folder / part).glob("*.safetensors"))) > 2
    return index


@pytest.mark.parametrize(("kind", "parts"), [
    ("xl", ("unet", "text_encoder_2")),
    ("sd3", ("transformer", "text_encoder_3")),
    ("flux", ("transformer", "text_encoder_2", "vae")),
])  # fmt: skip
def test_sharded_weights_read_the_same(originals, copy, kind, parts):
    folder = copy(kind)
    for part in parts:
        shard(folder, part, "10KB")
    whole, split = load(originals / kind), load(folder)
    assert torch.equal(capture(whole, images()).final, capture(split, images()).final)
    last = max((folder / parts[0]).glob("*.safetensors"))
    save_file({name: tensor + 1 for name, tensor in load_file(last).items()}, last)
    assert len({backbone.weights.split("(")[1] for backbone in (whole, split, load(folder))}) == 3


def rename_table(folder):
    """T5's table of words under its other name, as some repositories have it."""
    path = folder / "text_encoder_2" / "model.safetensors"
    tensors = load_file(path)
    assert "encoder.embed_tokens.weight" not in tensors
    save_file({{"shared.weight": "encoder.embed_tokens.weight"}.get(k, k): v for k, v in tensors.items()}, path)


def test_t5s_table_of_words_may_go_by_either_name(originals, copy):
    folder = copy("flux")
    rename_table(folder)
    assert torch.equal(capture(load(originals / "flux"), images()).final, capture(load(folder), images()).final)


def listing(index, *names):
    """An index in which the first tensors are said to be in `names`."""
    files = json.loads(index.read_text())["weight_map"]
    edit(index, weight_map={**files, **dict(zip(files, names, strict=False))})


def lose(index):
    sorted(index.parent.glob("*.safetensors"))[1].unlink()


def cut(index):
    path = sorted(index.parent.glob("*.safetensors"))[1]
    path.write_bytes(path.read_bytes()[:100])


DAMAGED = {
    "missing": (lose, r"expected transformer/diffusion_pytorch_model-00002-of-\d+\.safetensors in .*found none"),
    "cut": (cut, "expected a readable checkpoint"),
    "escape": (lambda index: listing(index, "../vae/x.safetensors"), "safetensors files beside it, got '../vae/x"),
    "absolute": (lambda index: listing(index, "/etc/x.safetensors"), "safetensors files beside it, got '/etc/x"),
    "windows": (lambda index: listing(index, "..\\x.safetensors"), "safetensors files beside it, got"),
    "pickle": (lambda index: listing(index, "x.bin"), "safetensors files beside it, got 'x.bin'"),
    "number": (lambda index: listing(index, [1]), r"safetensors files beside it, got \[1\]"),
    "empty": (lambda index: edit(index, weight_map={}), "safetensors files beside it, got none"),
    "none": (lambda index: edit(index, weight_map=None), "safetensors files beside it, got none"),
    "not json": (lambda index: index.write_text("{"), "expected JSON in"),
    "list": (lambda index: index.write_text("[]"), "expected an object in"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_set_of_shards_is_one_line(copy, damage):
    spoil, message = DAMAGED[damage]
    folder = copy("flux")
    spoil(shard(folder, "transformer", "10KB"))
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


# From the hub


def as_published_in_2022(folder):
    """A tokenizer of two files, which fills texts up with what only a third file says, as Stable Diffusion 2 has it."""
    place = folder / "tokenizer"
    learned = json.loads((place / "tokenizer.json").read_text())["model"]
    for path in place.iterdir():
        path.unlink()
    (place / "vocab.json").write_text(json.dumps(learned["vocab"]))
    merges = [" ".join(pair) for pair in learned["merges"]]
    (place / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    (place / "tokenizer_config.json").write_text(json.dumps({**special, "pad_token": "<|endoftext|>"}))
    (place / "special_tokens_map.json").write_text(json.dumps({**special, "pad_token": "a"}))


@pytest.mark.parametrize("kind", KINDS)
def test_the_hub_gives_what_a_folder_gives_and_only_what_is_needed(copy, tmp_path, monkeypatch, kind):
    folder, cache = copy(kind), tmp_path / "hub" / "snapshots" / ("1" * 40)
    if kind == "sd2":
        filled = capture(load(folder), images()).final
        as_published_in_2022(folder)
        assert not torch.allclose(capture(load(folder), images()).final, filled, atol=1e-4)
    else:
        shard(folder, part_of(folder).name, "10KB")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").touch()

    def fetch(_repository, filename, **_):
        if not (folder / filename).is_file():
            raise NoSuchFileError(f"the hub has no {filename}")
        (cache / filename).parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(folder / filename, cache / filename))

    monkeypatch.setattr("whatwhere.backbones.repository.hub_file", fetch)
    fetched = capture(load_backbone("tiny", model="owner/name"), images()).final
    assert torch.equal(fetched, capture(load(folder), images()).final)
    assert not (cache / "safety_checker").exists()


# Other pipelines


MISFITS = {
    "another transformer": (
        "flux",
        lambda f: edit(f / "model_index.json", transformer=["diffusers", "PixArtTransformer2DModel"]),
        "whose transformer is diffusers's SD3Transformer2DModel or FluxTransformer2DModel, got",
    ),
    "code of its own": (
        "flux",
        lambda f: edit(f / "model_index.json", transformer=["modeling_live", "FluxTransformer2DModel"]),
        "whose transformer is diffusers's",
    ),
    "refiner": (
        "xl",
        lambda f: edit(f / "model_index.json", text_encoder=[None, None]),
        r"whose text_encoder is transformers's CLIPTextModel, got \[None, None\]",
    ),
    "another encoder": (
        "flux",
        lambda f: edit(f / "model_index.json", text_encoder_2=["transformers", "LlamaModel"]),
        "whose text_encoder_2 is transformers's T5EncoderModel",
    ),
    "xl's vector": (
        "xl",
        lambda f: edit(f / "unet" / "config.json", projection_class_embeddings_input_dim=58),
        r"UNet for latents of 4 channels and texts of 32 \(pooled 8\), got one for 4 and 32 \(pooled 10\)",
    ),
    "xl without its vector": (
        "xl",
        lambda f: edit(f / "unet" / "config.json", addition_embed_type=None),
        r"texts of 32 \(pooled 8\), got one for 4 and 32; choose",
    ),
    "classes": (
        "sd2",
        lambda f: edit(f / "unet" / "config.json", num_class_embeds=10),
        r"texts of 16, got one for 4 and 16 \(pooled class\)",
    ),
    "sd3's texts": (
        "sd3",
        lambda f: edit(f / "transformer" / "config.json", joint_attention_dim=24),
        r"transformer for latents of 4 channels and texts of 40 \(pooled 16\), got one for 4 and 24 \(pooled 16\)",
    ),
    "sd3's clips too wide": (
        "sd3 without t5",
        lambda f: edit(f / "transformer" / "config.json", joint_attention_dim=24),
        r"texts of 32 \(pooled 16\), got one for 4 and 24",
    ),
    "control": (
        "flux",
        lambda f: edit(f / "transformer" / "config.json", in_channels=32),
        "transformer for latents of 16 channels .* got one for 32",
    ),
    "schedule unsaid": (
        "sd2",
        lambda f: (f / "scheduler" / "scheduler_config.json").write_text('{"num_train_timesteps": 1000}'),
        "expected a noise schedule in scheduler/scheduler_config.json, got none of 'beta_start'",
    ),
    "t5's words cut": (
        "flux",
        lambda f: (f / "tokenizer_2" / "tokenizer.json").write_text('{"version": "1.0", "model": {'),
        "expected the text encoder's tokenizer in .*tokenizer_2, got",
    ),
    "t5's words missing": (
        "flux",
        lambda f: (f / "tokenizer_2" / "tokenizer.json").unlink(),
        r"expected tokenizer_2/tokenizer\.json in",
    ),
    "another checkpoint": (
        "sd3",
        lambda f: edit(f / "transformer" / "config.json", num_layers=4),
        r"transformer: expected the \d+ tensors of this model, got tensors .*missing",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_cannot_be_read_is_one_line(copy, misfit):
    kind, spoil, message = MISFITS[misfit]
    folder = copy(kind)
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_an_image_beyond_the_learned_positions_is_one_line(originals):
    with pytest.raises(InputError, match="sides up to 96 px, got 32 × 100 px"):
        capture(load(originals / "sd3"), images(32, 100))


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_no_configuration_chooses_code_for_attention(originals, copy, kind):
    folder = copy(kind)
    for part in folder.glob("text_encoder*"):
        edit(part / "config.json", attn_implementation="owner/kernel", auto_map={"AutoModel": "live.Live"})
    assert torch.equal(capture(load(folder), images()).final, capture(load(originals / kind), images()).final)
