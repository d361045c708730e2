"""Training: batches, losses, optimizer, checkpoints and the training loop.

Dependencies: torch, numpy, pandas, pyarrow and safetensors only, to keep GPU machines simple to set up.
"""
