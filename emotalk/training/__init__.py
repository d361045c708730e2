"""Training: batches, losses, optimizer, checkpoints and the training loop.

It imports no audio, plotting or workflow library, to keep GPU machines simple to set up.
"""
