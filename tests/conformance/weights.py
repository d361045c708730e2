"""Reproducible weights and inputs of reference.npz, computed with numpy: the same numbers on every machine."""

import zlib

import numpy as np

# Small encoders with the released architecture, and the released hidden size, which other modules depend on.
ENCODER = dict(
    hidden_size=1024,
    num_hidden_layers=2,
    num_attention_heads=16,
    intermediate_size=64,
    conv_dim=[32] * 7,
    conv_kernel=[10, 3, 3, 3, 3, 2, 2],
    conv_stride=[5, 2, 2, 2, 2, 2, 2],
    conv_bias=True,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    num_conv_pos_embeddings=128,
    num_conv_pos_embedding_groups=16,
    vocab_size=32,
    mask_time_prob=0.05,
    # Without dropout, so that training steps can be compared.
    feat_proj_dropout=0.0,
    activation_dropout=0.0,
    attention_dropout=0.0,
    hidden_dropout=0.0,
    layerdrop=0.0,
    final_dropout=0.0,
)
PREDICT_SAMPLES = [16000 * 3 + 777, 65900, 16000 * 2 + 55, 720]
PREDICT_LEVEL = [1, 0, 1, 0]
PREDICT_PERSON = [0, 23, 5, 11]


def parameter(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the value of a state-dict entry, float32, by its released name (`..._g`, `..._v` for weight norm)."""
    x = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if len(shape) > 1:
        x = x / np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight"):
        x = 1 + 0.1 * x
    else:
        x = 0.1 * x
    x = x.astype(np.float32)
    return np.abs(x) + np.float32(0.5) if name.endswith("weight_g") else x


def waveform(index: int, num_samples: int) -> np.ndarray:
    """Return test audio, (num_samples,) float32, not normalized."""
    rng = np.random.Generator(np.random.PCG64(1000 + index))
    return (0.1 * rng.standard_normal(num_samples) + 0.01).astype(np.float32)


def track(index: int, num_frames: int) -> np.ndarray:
    """Return test motion, (num_frames, 52) float32 in [0, 1)."""
    return np.random.Generator(np.random.PCG64(2000 + index)).random((num_frames, 52)).astype(np.float32)
