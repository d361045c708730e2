"""Train, evaluate and use EmoTalk: speech to 52 ARKit blendshape coefficients, with emotion."""

__version__ = "0.1.0"
