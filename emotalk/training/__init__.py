"""Training: schedule, batches, objectives, checkpoints and the loop.

Imports nothing but torch, numpy, pandas, pydantic, pyarrow and safetensors, and transformers where an encoder is loaded
from a folder or a hub, so that it runs on a lean GPU machine.
"""
