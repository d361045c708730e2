"""Train, evaluate and use EmoTalk, which predicts 52 ARKit blendshape coefficients with emotion from speech."""

__version__ = "0.1.0"
