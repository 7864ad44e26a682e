"""How each of the small backbones was trained, in a paragraph of its card."""

from __future__ import annotations


def method_words(family: str) -> str:
    """What was done with the scenes, with the numbers of the module that did it (each imports its library)."""
    if family == "dino":
        from whatwhere.zoo.training import dino

        (many, wide, large_px), (more, narrow, small_px) = dino.GLOBAL_CROPS, dino.LOCAL_CROPS
        return (
            "Student and teacher (Caron et al. 2021), centred and sharpened, agree on images, and on patches at one "
            "place in two views (after Zhou et al. 2022). Both start as zoo/mae: steps and hours come on top of its. "
            f"Of a window of {_span(dino.WINDOW_PX)} px of each scene, {many} crops of {_span(wide)} of its side "
            f"shown at {large_px} px, {dino.HIDDEN:.0%} of the patches hidden from the student, and {more} "
            f"of {_span(narrow)} at {small_px} px; {dino.PROTOTYPES} prototypes, temperatures "
            f"{dino.STUDENT_TEMPERATURE} and {dino.TEACHER_TEMPERATURE}. The teacher is kept."
        )
    if family == "mae":
        from whatwhere.zoo.training import mae

        return (
            f"Masked autoencoding (He et al. 2022): {mae.MASKED:.0%} of the patches of a crop of "
            f"{_span(mae.SIDES_PX)} px, shown at {mae.SIZE} px, are hidden and painted by a decoder of "
            f"{mae.DECODER_DEPTH} layers and {mae.DECODER_WIDTH} channels, which is thrown away."
        )
    if family == "clip":
        from whatwhere.zoo.training import clip, pairs

        return (
            f"Symmetric InfoNCE (Radford et al. 2021) between images at {clip.SIZE_PX} px and texts: "
            f"{1 - pairs.CROPPED:.0%} whole scenes with their captions, {pairs.CROPPED:.0%} crops of "
            f'{_span(pairs.SIDES_PX)} px with "a photo of a …" of one to {pairs.MOST_NAMED} classes that they show.'
        )
    from whatwhere.zoo.training import autoencoder, diffusion

    return (
        "Latent diffusion (Rombach et al. 2022). First an autoencoder (absolute error and a KL term of weight "
        f"{autoencoder.KL_WEIGHT:g}, on crops of {_span(autoencoder.SIDES_PX)} px); then UNet and text encoder predict "
        f"the noise in its latents, on the images and texts of CLIP, {diffusion.EMPTY_PROMPTS:.0%} of the texts "
        f"replaced by the empty one. A moving average (momentum {diffusion.MOMENTUM}) is kept."
    )


def _span(ends: tuple[float | int, float | int]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"
