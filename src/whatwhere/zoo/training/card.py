"""`docs/zoo.md`: what the four small backbones are, how they were trained, and what they were found to have learned.

Numbers come from the histories of `loop.train` and from `evidence.measure`; nothing here is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from whatwhere.artifacts.atomic import replacing
from whatwhere.zoo.training.evidence import FAMILIES, FINAL
from whatwhere.zoo.training.loop import HELD_OUT
from whatwhere.zoo.training.methods import method_words

TITLES = {"dino": "DINO", "mae": "MAE", "clip": "CLIP", "diffusion": "Latent diffusion"}
#: What was asked for before anything was measured: mIoU over the untrained network's, and CLIP's mean AUC.
RATIO_GOAL, AUC_GOAL = 1.5, 0.85
#: Largest weights of a member, and of all of them, in megabytes.
MEMBER_MB, ZOO_MB = 6.0, 18.0
UNKNOWN = "not recorded"
SUMMARY = ["family", "parameters", "MB", "steps", "images seen", "hours", "mIoU (95 %)", "untrained", "raw pixels"]
SUMMARY += ["× untrained", "AUC (95 %)", "goal", "reached"]


def write_cards(
    training: dict[str, dict[str, Any]],
    evidence: dict[str, dict[str, Any]],
    pictures: dict[str, list[str]],
    output: Path,
) -> None:
    """Writes `output`: an introduction, a table of all families in `evidence` (at least one), and a card for each.

    `training` holds the `training.json` of each family (and of `autoencoder`, diffusion's first half, if that is
    kept apart), `evidence` what `evidence.measure` answered, `pictures` paths relative to `output`.
    """
    families = [family for family in FAMILIES if family in evidence]
    parts = [INTRODUCTION, _summary(families, training, evidence), _method(evidence[families[0]])]
    for family in families:
        parts.append(_card(family, _stages(family, training), evidence[family], pictures.get(family, [])))
    with replacing(output) as partial:
        partial.write_text("\n\n".join(parts) + "\n", "utf-8")


INTRODUCTION = """# The zoo

Small backbones of our own, one for each family that the paper compares, trained on rendered scenes and shipped
with the package in the layouts of their full-size siblings. They are small enough to train on two CPU cores and
know nothing but these scenes: they show the method at work, and say nothing about the full-size models.
`snakemake zoo` trains them again and writes this page."""


def _summary(families: Sequence[str], training: dict[str, dict[str, Any]], evidence: dict[str, dict[str, Any]]) -> str:
    rows = [_summary_row(family, _stages(family, training), evidence[family]) for family in families]
    total = sum(_megabytes(evidence[family]) for family in families)
    size = f"Weights together: {total:.1f} MB, {_met(total <= ZOO_MB)} of at most {ZOO_MB:g} MB."
    verdicts = [f"- **{TITLES[family]}** {verdict(family, evidence[family])}" for family in families]
    return "\n\n".join([_table(SUMMARY, rows), size, "\n".join(verdicts)])


def _summary_row(family: str, stages: dict[str, dict[str, Any]], found: dict[str, Any]) -> list[str]:
    probe, recipes = found["probe"], [history["recipe"] for history in stages.values()]
    words = found.get("presence", {}).get("trained")
    return [
        f"[{TITLES[family]}](#{TITLES[family].lower().replace(' ', '-')})",
        f"{found['parameters'] / 1e6:.2f} M",
        f"{_megabytes(found):.1f}",
        " + ".join(f"{recipe['steps']:,}" for recipe in recipes) or UNKNOWN,
        f"{sum(recipe['steps'] * recipe['batch_images'] for recipe in recipes):,}",
        f"{sum(history['seconds'] for history in stages.values()) / 3600:.2f}",
        _score(probe["trained"]),
        f"{probe['untrained']['miou']:.3f}",
        f"{probe['raw_pixels']['miou']:.3f}",
        f"{found['ratio']['untrained']:.3f}",
        f"{words['auc']:.3f} ({_interval(words)})" if words else "–",
        f"AUC {AUC_GOAL:g}" if family == "clip" else f"{RATIO_GOAL:g} × untrained",
        "yes" if reached(family, found) else "**no**",
    ]


def _method(found: dict[str, Any]) -> str:
    scenes, settings = found["scenes"], found["settings"]
    last = scenes["first_seed"] + scenes["train"] + scenes["select"] + scenes["test"] - 1
    return (
        "## How it was measured\n\n"
        f"Linear probes on scenes that nobody was trained on (seeds {scenes['first_seed']:,} to {last:,}, "
        f"{scenes['size_px']} px): multinomial logistic regression from the features of a token to the class of most "
        f"of its pixels, fitted on {scenes['train']} scenes (at most {settings['tokens_per_image']} tokens of each). "
        f"The layer is chosen on {scenes['select']} more, and the mIoU over classes reported on {scenes['test']} "
        "others, pixel by pixel, with logits interpolated bilinearly. Intervals are bootstrapped over those scenes. "
        "Features are the values V of each self-attention layer, heads concatenated - a linear map of the layer's "
        "normalised input, so that a linear probe on them is one on the layer's features - and the final features. "
        "The untrained network is the same with random weights, and its best layer is chosen for itself; raw pixels "
        "are those of a token's patch. For diffusion, untrained keeps the trained autoencoder, the stricter control; "
        f"all untrained does not. The goal was {RATIO_GOAL:g} times the untrained network's mIoU, and for CLIP "
        f"a mean AUC of {AUC_GOAL:g} in telling which classes an image shows."
    )


def reached(family: str, found: dict[str, Any]) -> bool:
    """Whether a family's evidence meets its goal."""
    if family == "clip":
        return found["presence"]["trained"]["auc"] >= AUC_GOAL
    return found["ratio"]["untrained"] >= RATIO_GOAL


def verdict(family: str, found: dict[str, Any]) -> str:
    """A sentence that says whether the goal was met, and by what number."""
    ratio = f"{found['ratio']['untrained']:.3f} times the untrained network's mIoU"
    if family == "clip":
        words = found["presence"]["trained"]
        number, goal = f"a mean AUC of {words['auc']:.3f} ({_interval(words)})", f"{AUC_GOAL:g}"
        extra = f"; its probe has {ratio}, for which no goal was set"
    else:
        number, goal, extra = ratio, f"{RATIO_GOAL:g} times", ""
    if reached(family, found):
        return f"met its goal of {goal}: {number}{extra}."
    return f"fell **short of** its goal of {goal}: {number}{extra}."


def _met(met: bool) -> str:
    return "within the limit" if met else "**over the limit**"


def _card(family: str, stages: dict[str, dict[str, Any]], found: dict[str, Any], pictures: list[str]) -> str:
    size = _megabytes(found)
    parts = [
        f"## {TITLES[family]}",
        f"It {verdict(family, found)}",
        f"**Architecture.** {found.get('architecture', UNKNOWN)} {found['parameters']:,} parameters, {size:.2f} MB as "
        f"float16, {_met(size <= MEMBER_MB)} of {MEMBER_MB:g} MB.",
        f"**Method.** {method_words(family)}",
        *(_training(name, history) for name, history in stages.items()),
        f"**Linear probe.** {_probe_words(found)}",
        _layers(found),
    ]
    if "presence" in found:
        parts += [f"**Zero-shot presence.** {_presence_words(found)}", _presence(found)]
    parts += [f"![{Path(picture).stem.replace('_', ' ')}]({picture})" for picture in pictures]
    hashes = ([f"`{name}`", f"`{digest}`"] for name, digest in found["sha256"].items())
    return "\n\n".join([*parts, _table(["weights", "sha256"], hashes)])


def _stages(family: str, training: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The histories behind a family: diffusion has two, whose first may be kept inside the second."""
    last = {"Training": training[family]} if family in training else {}
    if family != "diffusion":
        return last
    first = training.get("autoencoder") or training.get(family, {}).get("autoencoder")
    return {**({"Training of the autoencoder": first} if first else {}), **last}


def _training(name: str, history: dict[str, Any]) -> str:
    recipe, scenes = history["recipe"], history.get("scenes", {})
    precision = "bfloat16 where autocast allows" if recipe.get("bfloat16") else "float32"
    versions = ", ".join(f"{library} {version}" for library, version in history.get("versions", {}).items())
    words = (
        f"**{name}.** {recipe['steps']:,} steps of {recipe['batch_images']} images "
        f"({recipe['steps'] * recipe['batch_images']:,} in all) by AdamW, learning rate "
        f"{recipe['learning_rate']:g} after {recipe['warmup_steps']} steps of warm-up and down along a cosine, weight "
        f"decay {recipe['weight_decay']:g}, {precision}, seed {history.get('seed', recipe.get('seed', UNKNOWN))}. "
        f"{_scenes(scenes)} It took {history['seconds']:,.0f} s on {history.get('machine', 'a machine ' + UNKNOWN)}; "
        f"{history.get('date', 'date ' + UNKNOWN)}; {versions or 'versions ' + UNKNOWN}."
    )
    command = f"```\n{history.get('command', UNKNOWN)}\n```"
    rows = [row for kind in ("training", "validation") for row in _curve_rows(kind, history[kind])]
    return "\n\n".join([words, command, _table(["curve", "first", "at step", "last", "at step"], rows)])


def _scenes(scenes: dict[str, Any]) -> str:
    if not scenes:
        return f"Scenes: {UNKNOWN}."
    first, count = scenes["first_seed"], scenes["scenes"]
    return (
        f"Drawn from {count:,} rendered scenes of {scenes['size_px']} px (seeds {first:,} to {first + count - 1:,}), "
        f"the last {scenes.get('held_out', HELD_OUT)} of them kept for validation."
    )


def _curve_rows(kind: str, curves: dict[str, Any]) -> Iterable[list[str]]:
    for name, curve in curves.items():
        (first_step, first), (last_step, last) = curve[0], curve[-1]
        yield [f"{kind}: {name}", f"{first:.4g}", f"{first_step:,.0f}", f"{last:.4g}", f"{last_step:,.0f}"]


def _probe_words(found: dict[str, Any]) -> str:
    probe = found["probe"]
    names = {"untrained": "the untrained network", "all_untrained": "everything untrained", "raw_pixels": "raw pixels"}
    others = [
        f"{names[name]} {_score(probe[name])}, {ratio:.2f} times"
        for name, ratio in found["ratio"].items()
        if name in names
    ]
    step = f" at noise step {found['settings']['noise_step']}" if "noise_step" in found["settings"] else ""
    best = f"Best layer{step}: {_layer(probe['trained']['best'])}, mIoU {_score(probe['trained'])}."
    return f"{best} Beside it: {'; '.join(others)}."


def _layers(found: dict[str, Any]) -> str:
    """mIoU of every layer, and of the same layer of the untrained network."""
    probe = found["probe"]
    controls = [name for name in ("untrained", "all_untrained") if name in probe]
    same = {name: {layer["layer"]: layer["test"] for layer in probe[name]["layers"]} for name in controls}
    rows = [
        [
            _layer(layer["layer"]) + (" (chosen)" if layer["layer"] == probe["trained"]["best"] else ""),
            " × ".join(map(str, layer["grid"])),
            f"{layer['select']:.3f}",
            f"{layer['test']:.3f}",
            *(f"{same[name][layer['layer']]:.3f}" for name in controls),
        ]
        for layer in probe["trained"]["layers"]
    ]
    return _table(["layer", "tokens", "select", "test", *(f"{n.replace('_', ' ')}, test" for n in controls)], rows)


def _layer(name: str) -> str:
    return name if name == FINAL else f"V of `{name}`"


def _presence_words(found: dict[str, Any]) -> str:
    trained, untrained = (found["presence"][name] for name in ("trained", "untrained"))
    return (
        f'"a photo of a {{class}}" against {trained["images"]} whole scenes: mean AUC {trained["auc"]:.3f} '
        f"({_interval(trained)}); untrained {untrained['auc']:.3f} ({_interval(untrained)}). A scene in which a class "
        "shows but fills less than a hundredth is left out for that class."
    )


def _presence(found: dict[str, Any]) -> str:
    trained, untrained = (found["presence"][name]["classes"] for name in ("trained", "untrained"))
    rows = [
        [one["label"], str(one["present"]), str(one["absent"]), *(_auc(each["auc"]) for each in (one, other))]
        for one, other in zip(trained, untrained, strict=True)
    ]
    return _table(["class", "scenes with", "without", "AUC", "AUC, untrained"], rows)


def _auc(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _score(probe: dict[str, Any]) -> str:
    return f"{probe['miou']:.3f} ({_interval(probe)})"


def _interval(found: dict[str, Any]) -> str:
    return "–".join(f"{end:.3f}" for end in found["interval"])


def _megabytes(found: dict[str, Any]) -> float:
    return found["bytes"] / 1e6


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
