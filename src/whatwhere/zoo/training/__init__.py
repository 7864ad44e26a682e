"""How the small backbones of `whatwhere.zoo` were trained: one module per family, and what they share.

`scenes` draws the training images, `loop` trains any `Trainer`, `dino`, `mae`, `clip`, `autoencoder` and
`diffusion` are the trainers, `card` measures what was learned and writes it down.
"""
