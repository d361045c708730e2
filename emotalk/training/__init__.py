"""Training: schedule, batches, objectives, checkpoints and the loop.

Imports nothing but torch, transformers, numpy, pandas, pyarrow and safetensors, so that it runs on a lean GPU machine.
"""
