"""Training: a killed run ends as an unkilled one, each family computes what its paper says, exports are readable."""

import json
from functools import partial

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone
from whatwhere.scenes.world import CLASSES
from whatwhere.zoo.training import clip, dino, loop, pairs
from whatwhere.zoo.training.autoencoder import Autoencoder
from whatwhere.zoo.training.diffusion import EMPTY_PROMPTS, MOMENTUM, Diffusion
from whatwhere.zoo.training.loop import Recipe
from whatwhere.zoo.training.mae import PATCH, TOKENS, Mae
from whatwhere.zoo.training.scenes import TrainingScenes, read, write
from whatwhere.zoo.training.trainer import Trainer
from whatwhere.zoo.training.words import learn_tokenizer, prompt

SCENES = 40
RECIPE = Recipe(steps=4, batch_images=3, learning_rate=1e-3, warmup_steps=1, report_every=1, validate_every=2)

train = partial(loop.train, held_out=8)


class Line(Trainer):
    """The smallest real trainer: brightness from a scene's mean colour."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.steps_taken = 0

    def trained(self):
        return self

    def losses(self, scenes, chosen, generator):
        colours = scenes.crops(chosen, scenes.boxes(len(chosen), 32, 64, generator=generator), 8).mean((2, 3))
        return {"loss": ((self.linear(colours)[:, 0] - colours.mean(1)) ** 2).mean()}

    def after_step(self, progress):
        self.steps_taken += 1

    def export(self, folder):
        raise NotImplementedError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write(folder, scenes=SCENES, first_seed=10**6, size_px=128)
    return read(folder)


@pytest.fixture(scope="module")
def tokenizer(scenes):
    return learn_tokenizer(scenes.captions)


def family(name, tokenizer, seed=0):
    """A new trainer whose networks start from `seed`."""
    torch.manual_seed(seed)
    makers = {
        "line": Line,
        "dino": dino.Dino,
        "mae": Mae,
        "clip": lambda: clip.Clip(tokenizer),
        "autoencoder": Autoencoder,
        "diffusion": lambda: Diffusion(tokenizer, Autoencoder().network),
    }
    return makers[name]()


FAMILIES = ("dino", "mae", "clip", "autoencoder", "diffusion")


def losses(trainer, scenes, count=4, seed=0):
    return trainer.losses(scenes, np.arange(count), torch.Generator().manual_seed(seed))


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


class KilledError(Exception):
    pass


def kill_after(trainer, steps):
    """Makes the trainer's run die in its step number `steps`."""
    go_on, taken = trainer.after_step, []

    def after_step(progress):
        taken.append(progress)
        if len(taken) == steps:
            raise KilledError
        go_on(progress)

    trainer.after_step = after_step


@pytest.mark.parametrize("name", FAMILIES)
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path, scenes, tokenizer, name):
    whole = family(name, tokenizer)
    curves = train(whole, scenes, tmp_path / "whole.pt", RECIPE, seed=1, name=name)
    killed = family(name, tokenizer)
    kill_after(killed, 3)
    with pytest.raises(KilledError):
        train(killed, scenes, tmp_path / "killed.pt", RECIPE, seed=1, name=name, save_seconds=0.0)
    assert not same(killed, whole)
    resumed = family(name, tokenizer, seed=9)
    if name == "diffusion":  # its autoencoder was trained before and is read from its own file
        resumed.autoencoder.load_state_dict(whole.autoencoder.state_dict())
    kill_after(resumed, 3)  # only two steps are left
    again = train(resumed, scenes, tmp_path / "killed.pt", RECIPE, seed=1, name=name)
    assert same(resumed, whole)
    assert {key: again[key] for key in ("training", "validation")} == {
        key: curves[key] for key in ("training", "validation")
    }


def test_a_finished_training_takes_no_further_step(tmp_path, scenes):
    first, second = family("line", None), family("line", None, seed=9)
    history = train(first, scenes, tmp_path / "line.pt", RECIPE, seed=1, name="line")
    assert train(second, scenes, tmp_path / "line.pt", RECIPE, seed=1, name="line") == history
    assert (first.steps_taken, second.steps_taken) == (RECIPE.steps, 0)
    assert same(first, second)


def test_runs_agree_by_seed_and_differ_across_seeds(tmp_path, scenes):
    runs = []
    for i, seed in enumerate((1, 1, 2)):
        trainer = family("line", None)
        train(trainer, scenes, tmp_path / f"{i}.pt", RECIPE, seed=seed, name="line")
        runs.append(trainer)
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("name", FAMILIES)
def test_all_of_a_steps_randomness_is_its_generators(scenes, tokenizer, name):
    trainer = family(name, tokenizer)
    torch.manual_seed(3)
    first = losses(trainer, scenes)
    torch.manual_seed(4)
    again, other = losses(trainer, scenes), losses(trainer, scenes, seed=1)
    assert torch.equal(first["loss"], again["loss"])
    assert not torch.equal(first["loss"], other["loss"])


def test_every_epoch_sees_every_scene_once_in_an_order_of_its_own():
    batch, count, epochs = 6, 20, 3
    seen = np.concatenate([loop._shuffled(step, batch, count, seed=5) for step in range(epochs * count // batch)])
    orders = seen.reshape(epochs, count)
    assert (np.sort(orders, 1) == np.arange(count)).all()
    assert len({tuple(order) for order in orders}) == epochs


def test_held_out_scenes_are_never_trained_on(tmp_path, scenes):
    trainer, seen = family("line", None), {True: set(), False: set()}
    ask = trainer.losses

    def watched(given, chosen, generator):
        seen[trainer.training] |= {given.captions[i] for i in chosen}
        return ask(given, chosen, generator)

    trainer.losses = watched
    train(trainer, scenes, tmp_path / "line.pt", Recipe(12, 3, 1e-3), seed=0, name="line")
    assert seen[True] == set(scenes.captions[:-8])
    assert seen[False] == set(scenes.captions[-8:])


def test_the_learning_rate_warms_up_and_falls_along_a_cosine():
    recipe = Recipe(steps=300, batch_images=1, learning_rate=1.0, warmup_steps=100)
    assert [loop._schedule(step, recipe) for step in (0, 99, 100)] == [0.01, 1.0, 1.0]
    assert loop._schedule(200, recipe) == pytest.approx((1 + 0.01) / 2)
    assert loop._schedule(300, recipe) == pytest.approx(0.01)


class Explosive:
    def __reduce__(self):
        return (print, ("executed",))


def spoil(path, kind):
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "live":
        torch.save({"history": {"recipe": {}}, "step": 1, "trainer": Explosive()}, path)
    elif kind == "foreign":
        torch.save({"weight": torch.zeros(2)}, path)
    elif kind == "another network":
        state = torch.load(path, weights_only=True)
        state["trainer"]["linear.weight"] = torch.zeros(1, 4)
        torch.save(state, path)


@pytest.mark.parametrize("kind", ["truncated", "live", "foreign", "another network"])
def test_damaged_checkpoints_are_refused_and_never_executed(tmp_path, scenes, capsys, kind):
    path = tmp_path / "line.pt"
    train(family("line", None), scenes, path, RECIPE, seed=1, name="line")
    spoil(path, kind)
    with pytest.raises(InputError, match=r"line\.pt: expected the state of this training.*remove .*line\.pt") as caught:
        train(family("line", None), scenes, path, RECIPE, seed=1, name="line")
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_a_checkpoint_of_another_recipe_or_seed_is_refused(tmp_path, scenes):
    path = tmp_path / "line.pt"
    train(family("line", None), scenes, path, RECIPE, seed=1, name="line")
    other = Recipe(**{**vars(RECIPE), "learning_rate": 0.5})
    for recipe, seed, fault in (
        (other, 1, r"learning_rate 0\.001 instead of 0\.5"),
        (RECIPE, 2, "seed 1 instead of 2"),
    ):
        with pytest.raises(InputError, match=fault) as caught:
            train(family("line", None), scenes, path, recipe, seed=seed, name="line")
        assert "\n" not in str(caught.value)


def test_a_loss_that_is_no_number_stops_and_the_checkpoint_stays(tmp_path, scenes):
    trainer, path = family("line", None), tmp_path / "line.pt"
    ask = trainer.losses
    trainer.losses = lambda *given: {"loss": ask(*given)["loss"] * (float("nan") if trainer.steps_taken == 2 else 1)}
    with pytest.raises(InputError, match="finite loss, got nan at step 2; lower its learning_rate") as caught:
        train(trainer, scenes, path, RECIPE, seed=1, name="line", save_seconds=0.0)
    assert "\n" not in str(caught.value)
    well, whole = family("line", None), family("line", None)
    train(well, scenes, path, RECIPE, seed=1, name="line")
    train(whole, scenes, tmp_path / "whole.pt", RECIPE, seed=1, name="line")
    assert well.steps_taken == 2
    assert same(well, whole)


def test_too_few_or_too_small_scenes_are_refused(tmp_path, scenes):
    with pytest.raises(InputError, match="more than the 8 scenes held out, got 8"):
        train(family("line", None), scenes.subset(slice(8)), tmp_path / "line.pt", RECIPE, seed=1, name="line")
    with pytest.raises(InputError, match="sides of 129 px or more, got 128"):
        scenes.boxes(1, 64, 129, generator=torch.Generator())


def test_scenes_are_not_whole_without_their_captions(tmp_path):
    write(tmp_path, scenes=2, first_seed=0, size_px=32)
    assert read(tmp_path).images.shape == (2, 32, 32, 3)
    captions = json.loads((tmp_path / "captions.json").read_text())
    (tmp_path / "captions.json").write_text(json.dumps(captions[:1]))
    with pytest.raises(InputError, match="as many images and labels as captions"):
        read(tmp_path)
    (tmp_path / "captions.json").unlink()
    with pytest.raises(InputError, match=r"expected images\.npy, labels\.npy and captions\.json"):
        read(tmp_path)


def halves(left=0, right=1, count=24):
    """Scenes that are dark and of class `left` to the left, bright and of class `right` to the right."""
    labels = np.full((count, 128, 128), left, np.uint8)
    labels[:, :, 64:] = right
    images = np.where(labels[..., None] == right, 200, 20).astype(np.uint8).repeat(3, -1)
    return TrainingScenes(images, labels, [f"scene {i}" for i in range(count)])


def test_crops_are_the_boxes_own_pixels_and_classes():
    planted = halves()
    boxes = np.array([[5, 0, 64], [5, 64, 64], [5, 32, 64]])
    crops = planted.crops(np.arange(3), boxes, 32)
    torch.testing.assert_close(crops[0], torch.full((3, 32, 32), 20 / 127.5 - 1))
    torch.testing.assert_close(crops[1], torch.full((3, 32, 32), 200 / 127.5 - 1))
    present = planted.present(np.arange(3), boxes)
    assert [row.nonzero()[:, 0].tolist() for row in present] == [[0], [1], [0, 1]]


# DINO


def test_the_teacher_gets_no_gradient_and_every_part_of_the_student_does(scenes):
    trainer = family("dino", None)
    losses(trainer, scenes)["loss"].backward()
    assert all(p.grad is None for p in trainer.teacher.parameters())
    assert all(p.grad is not None for p in trainer.student.parameters())


def test_the_teacher_moves_by_its_momentum():
    trainer = family("dino", None)
    with torch.no_grad():
        for ours, theirs in zip(trainer.student.parameters(), trainer.teacher.parameters(), strict=True):
            ours.fill_(1.0)
            theirs.fill_(0.0)
    trainer.after_step(1.0)
    assert all((p == 0).all() for p in trainer.teacher.parameters())
    trainer.after_step(0.0)
    for p in trainer.teacher.parameters():
        torch.testing.assert_close(p.data, torch.full_like(p, 1 - dino.TEACHER_MOMENTUM))


@pytest.mark.parametrize(("others", "entropy"), [(-1.0, 0.0), (1.0, 1.0)])
def test_entropy_tells_a_collapsed_teacher_from_an_undecided_one(scenes, others, entropy):
    trainer = family("dino", None)
    head = trainer.teacher.head
    with torch.no_grad():
        head.mlp[-1].weight.zero_()
        head.mlp[-1].bias.fill_(1.0)
        head.prototypes.fill_(others)  # against the answer, or as good as the first
        head.prototypes[7] = 1.0
    assert float(losses(trainer, scenes)["entropy"]) == pytest.approx(entropy, abs=1e-4)


def test_the_centres_follow_the_teachers_answers(scenes):
    trainer = family("dino", None).train()
    losses(trainer, scenes)
    answer = trainer.batch_centres.clone()
    assert (answer.abs().amax(1) > 0).all()
    trainer.after_step(0.0)
    torch.testing.assert_close(trainer.centres, (1 - dino.CENTRE_MOMENTUM) * answer)
    trainer.eval()
    losses(trainer, scenes, seed=1)
    assert torch.equal(trainer.batch_centres, answer)


def test_just_the_hidden_patches_are_hidden():
    pixels, hidden = torch.rand(2, 3, 24, 24) + 1, torch.zeros(2, 9, dtype=torch.bool)
    hidden[0, 5] = hidden[1, 6] = True  # of 3 x 3 patches: second row, third column; third row, first column
    expected = pixels.clone()
    expected[0, :, 8:16, 16:] = 0
    expected[1, :, 16:, :8] = 0
    assert torch.equal(dino.hide(pixels, hidden), expected)


# MAE


def patches(pixels):
    return pixels.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def test_the_encoder_without_masking_is_timms_own(scenes):
    trainer = family("mae", None).eval()
    pixels = torch.randn(2, 3, 64, 64)
    order = torch.stack([torch.randperm(TOKENS), torch.arange(TOKENS)])
    with torch.no_grad():
        found = trainer._encode(pixels, order)
        expected = trainer.encoder.forward_features(pixels)[:, 1:]
    torch.testing.assert_close(found[0], expected[0][order[0]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1], expected[1], atol=1e-5, rtol=1e-5)


def test_nothing_of_a_hidden_patch_is_seen():
    trainer = family("mae", None).eval()
    pixels, kept = torch.randn(1, 3, 64, 64), torch.tensor([[0, 9, 30, 63]])
    columns, rows = kept[0] % 8 * PATCH, kept[0] // 8 * PATCH
    hidden = torch.ones(64, 64, dtype=torch.bool)
    for y, x in zip(rows, columns, strict=True):
        hidden[y : y + PATCH, x : x + PATCH] = False
    elsewhere, at_one = pixels.clone(), pixels.clone()
    elsewhere[:, :, hidden] = 7.0
    at_one[:, :, 2, 3] += 1.0
    with torch.no_grad():
        painted, again, other = (trainer._paint(trainer._encode(p, kept), kept) for p in (pixels, elsewhere, at_one))
    assert torch.equal(painted, again)
    assert not torch.allclose(painted, other, atol=1e-4)


def test_the_loss_is_of_hidden_patches_normalised_each_by_itself(scenes):
    trainer, seen = family("mae", None), []
    encode = trainer._encode
    trainer._encode = lambda pixels, kept: seen.append((pixels, kept)) or encode(pixels, kept)

    def paint_well(_, kept):
        """The right answer at hidden patches, nonsense at those seen."""
        wanted = patches(seen[-1][0])
        wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
        return wanted.scatter(1, kept[..., None].expand(-1, -1, wanted.shape[-1]), 99.0)

    trainer._paint = paint_well
    assert float(losses(trainer, scenes)["loss"].detach()) == pytest.approx(0.0, abs=1e-6)
    assert seen[0][1].shape == (4, TOKENS // 4)


# CLIP


def row(*classes):
    return [name in classes for name in CLASSES]


def test_a_prompt_also_true_of_another_image_is_no_negative():
    a, b, c = CLASSES[:3]
    batch = pairs.Pairs(
        pixels=torch.zeros(3, 3, 8, 8),
        texts=[prompt([a]), prompt([a, b]), "a caption"],
        is_prompt=torch.tensor([True, True, False]),
        named=torch.tensor([row(a), row(a, b), row()]),
        present=torch.tensor([row(a, c), row(a, b), row(a, b, c)]),
    )
    # image 0 has no b; image 1 fits prompt 0; image 2 fits both prompts; a caption is of its own image only
    expected = [[False, False, False], [True, False, False], [True, True, False]]
    assert clip.also_true(batch).tolist() == expected


def test_prompts_name_classes_of_their_crop_and_whole_scenes_keep_their_caption(scenes):
    batch = pairs.draw(scenes, np.arange(32), 16, torch.Generator().manual_seed(0))
    assert 4 < int(batch.is_prompt.sum()) < 28
    assert not (batch.named & ~batch.present).any()
    for i, (text, by_class, named) in enumerate(zip(batch.texts, batch.is_prompt, batch.named, strict=True)):
        names = [name for name, is_named in zip(CLASSES, named, strict=True) if is_named]
        assert text == (prompt(names) if by_class else scenes.captions[i])
        assert len(names) in ((1, 2, 3) if by_class else (0,))


def test_what_has_words_is_never_mirrored():
    planted = halves()
    batch = pairs.draw(planted, np.arange(24), 16, torch.Generator().manual_seed(0))
    assert 4 < int((~batch.is_prompt).sum()) < 20
    gained = batch.pixels[..., -1].mean((1, 2)) - batch.pixels[..., 0].mean((1, 2))
    torch.testing.assert_close(gained[~batch.is_prompt], torch.full_like(gained[~batch.is_prompt], 180 / 127.5))
    assert (gained >= 0).all()


def test_prompts_of_a_crop_of_one_class_name_that_class():
    batch = pairs.draw(halves(3, 3), np.arange(24), 16, torch.Generator().manual_seed(0))
    assert {text for text, by_class in zip(batch.texts, batch.is_prompt, strict=True) if by_class} == {
        prompt([CLASSES[3]])
    }


def test_images_and_texts_that_agree_cost_nothing(scenes, tokenizer):
    """With one text a class and embeddings by class, InfoNCE is as good as zero and every text wins."""
    trainer = family("clip", tokenizer)
    single = losses(trainer, halves(), count=1)
    assert float(single["loss"].detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(single["chosen_right"]) == 1.0
    many = losses(trainer, scenes, count=8)
    assert 0.3 < float(many["loss"].detach()) / np.log(8) < 1.7  # untrained, about a blind guess


# Words


def test_the_same_captions_give_the_same_tokens(scenes, tokenizer):
    again = learn_tokenizer(scenes.captions)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again(scenes.captions).input_ids == tokenizer(scenes.captions).input_ids


def test_every_classs_name_is_whole_words_and_no_letter_is_unknown(scenes, tokenizer):
    for name in CLASSES:
        assert tokenizer.tokenize(name) == [f"{word}</w>" for word in name.split()]
    for text in [*scenes.captions, prompt(list(CLASSES))]:
        ids = tokenizer(text).input_ids
        assert ids.count(tokenizer.unk_token_id) == 1  # the end of the text is the same token
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.lower().replace(" ", "")


def test_texts_fit_the_text_encoders(scenes, tokenizer):
    assert max(len(ids) for ids in tokenizer(scenes.captions).input_ids) <= clip.LONGEST_TOKENS
    assert len(tokenizer(prompt(list(CLASSES[: pairs.MOST_NAMED]))).input_ids) <= clip.LONGEST_TOKENS


# Diffusion


def test_the_autoencoder_stays_as_it_was(tmp_path, scenes, tokenizer):
    trainer, untouched = family("diffusion", tokenizer), family("diffusion", tokenizer)
    train(trainer, scenes, tmp_path / "diffusion.pt", RECIPE, seed=1, name="diffusion")
    assert same(trainer.autoencoder, untouched.autoencoder)
    assert not any(p.requires_grad for p in trainer.autoencoder.parameters())
    assert not same(trainer.current.unet, untouched.current.unet)
    assert not same(trainer.current.text, untouched.current.text)


def test_the_average_moves_by_its_momentum(tokenizer):
    trainer = family("diffusion", tokenizer)
    with torch.no_grad():
        for p in trainer.current.parameters():
            p.fill_(1.0)
        for p in trainer.average.parameters():
            p.fill_(0.0)
    trainer.after_step(0.5)
    for p in trainer.average.parameters():
        torch.testing.assert_close(p.data, torch.full_like(p, 1 - MOMENTUM))


def test_about_the_given_share_of_texts_is_empty(scenes, tokenizer):
    trainer, given = family("diffusion", tokenizer), []

    def stop(_, inputs):
        given.append(inputs[0])
        raise KilledError

    trainer.current.text.register_forward_pre_hook(stop)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        with pytest.raises(KilledError):
            trainer.losses(scenes, np.arange(40), generator)
    empty = torch.tensor(tokenizer("", padding="max_length").input_ids)
    share = (torch.cat(given) == empty).all(1).double().mean()
    assert abs(float(share) - EMPTY_PROMPTS) < 0.08  # 2.8 deviations of 160 draws


def test_a_prediction_of_the_noise_itself_costs_nothing(scenes, tokenizer):
    """From noisy latents, latents and step the noise follows; an untrained network is at about 1."""
    trainer = family("diffusion", tokenizer)
    keep = trainer.schedule.alphas_cumprod
    latents = []
    encode = trainer.autoencoder.encode
    trainer.autoencoder.encode = lambda pixels: latents.append(encode(pixels)) or latents[-1]

    class Knowing(nn.Module):
        def forward(self, noisy, steps, ids):
            clean = latents[-1].latent_dist.mode() * trainer.autoencoder.config.scaling_factor
            left = keep[steps][:, None, None, None]
            return (noisy - left.sqrt() * clean) / (1 - left).sqrt()

    assert 0.5 < float(losses(trainer, scenes)["loss"].detach()) < 3
    trainer.current = Knowing()
    assert float(losses(trainer, scenes)["loss"].detach()) == pytest.approx(0.0, abs=1e-5)


# Exports


@pytest.mark.parametrize("name", ["dino", "mae"])
def test_vision_transformers_are_exported_as_timm_reads_them(tmp_path, name):
    trainer = family(name, None).eval()
    trainer.export(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    theirs = timm.create_model(config["architecture"], num_classes=0, **config["model_args"]).eval()
    tensors = load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    theirs.load_state_dict(tensors, strict=True)
    ours = load_backbone("exported", model=str(tmp_path))
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.forward_features(pixels)[:, 1:]
        kept = (trainer.teacher.backbone if name == "dino" else trainer.encoder).forward_features(pixels)[:, 1:]
        torch.testing.assert_close(ours.run(pixels), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.run(pixels), kept, atol=2e-2, rtol=2e-2)


def test_clip_is_exported_as_transformers_reads_it(tmp_path, scenes, tokenizer):
    from transformers import CLIPModel, CLIPTokenizer

    trainer = family("clip", tokenizer).eval()
    trainer.export(tmp_path)
    theirs = CLIPModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert CLIPTokenizer.from_pretrained(tmp_path)(scenes.captions).input_ids == tokenizer(scenes.captions).input_ids
    ours = load_backbone("exported", model=str(tmp_path))
    words = tokenizer(scenes.captions[:2], padding=True, return_tensors="pt")
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        found, expected, kept = (m(**words, pixel_values=pixels) for m in (ours.model, theirs, trainer.model))
        torch.testing.assert_close(found.logits_per_image, expected.logits_per_image, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.logits_per_image, kept.logits_per_image, atol=2e-2, rtol=2e-2)
    assert torch.equal(ours.prepare(np.zeros((1, 8, 8, 3), np.uint8)), torch.full((1, 3, 8, 8), -1.0))


def test_the_pipeline_is_exported_as_diffusers_reads_it(tmp_path, scenes, tokenizer):
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    trained = family("autoencoder", None)
    trained.deviation.fill_(2.5)
    trained.export(tmp_path / "autoencoder")
    autoencoder = AutoencoderKL.from_pretrained(tmp_path / "autoencoder")
    assert autoencoder.config.scaling_factor == pytest.approx(0.4)
    trainer = Diffusion(tokenizer, autoencoder).eval()
    torch.nn.init.normal_(trainer.average.unet.conv_out.weight, std=0.1)  # so that the average is not the current one
    trainer.export(tmp_path / "pipeline")
    theirs = StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline", dtype=torch.float32)
    ours = load_backbone("exported", model=str(tmp_path / "pipeline")).model
    assert theirs.vae.config.scaling_factor == ours.vae.config.scaling_factor == pytest.approx(0.4)
    ids = tokenizer([scenes.captions[0], ""], padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert torch.equal(
        ids, theirs.tokenizer([scenes.captions[0], ""], padding="max_length", return_tensors="pt").input_ids
    )
    latents, steps = torch.randn(2, 4, 16, 16), torch.tensor([10, 700])
    with torch.no_grad():
        expected = trainer.average(latents, steps, ids)
        for pipeline in (theirs, ours):
            found = pipeline.unet(latents, steps, pipeline.text_encoder(ids).last_hidden_state).sample
            torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_export_leaves_the_training_as_it_was(tmp_path, tokenizer, name):
    trainer, untouched = family(name, tokenizer), family(name, tokenizer)
    trainer.export(tmp_path)
    assert same(trainer, untouched)
    assert {p.dtype for p in trainer.parameters()} == {torch.float32}
    assert [p.requires_grad for p in trainer.parameters()] == [p.requires_grad for p in untouched.parameters()]


def test_views_know_where_their_patches_lie(monkeypatch):
    monkeypatch.setattr(dino, "jitter", lambda pixels, generator: pixels)
    y, x = np.mgrid[:128, :128].astype(np.uint8)
    scene = np.stack([y, x, 0 * x], -1)  # every pixel says where it is
    scenes = TrainingScenes(scene[None], np.zeros((1, 128, 128), np.uint8), ["a place"])
    generator = torch.Generator().manual_seed(3)
    windows = scenes.boxes(40, *dino.WINDOW_PX, generator=generator)
    views = dino._views(scenes, np.zeros(40, int), windows, 1, (0.6, 1.0), 48, generator=generator)
    patches = views.pixels.unflatten(3, (6, 8)).unflatten(2, (6, 8)).mean((3, 5))  # view, channel, row, column
    said = (patches[:, :2].flatten(2).transpose(1, 2) + 1) * 127.5 + 0.5
    torch.testing.assert_close(said, views.places, atol=0.6, rtol=0)
    first, last = patches[:, 1, :, 0], patches[:, 1, :, -1]
    assert 0 < int((first > last).all(1).sum()) < 40  # some are mirrored, some are not


def test_patches_meet_where_views_overlap():
    along = torch.arange(4) * 8.0 + 4
    left = torch.stack(torch.meshgrid(along, along, indexing="ij"), -1).reshape(1, 16, 2)
    right = left + torch.tensor([0.0, 16.0])  # two columns further
    mirrored = right.reshape(1, 4, 4, 2).flip(2).reshape(1, 16, 2)
    for other, columns in ((right, [0, 1]), (mirrored, [3, 2])):
        nearest, is_there = dino.meet(left, other)
        assert is_there.reshape(4, 4).tolist() == [[False, False, True, True]] * 4
        assert nearest.reshape(4, 4)[:, 2:].tolist() == [[4 * row + column for column in columns] for row in range(4)]
