"""Training that draws nothing at random, as processes draw unlike numbers: also `python -m tests.unit.training.steady`.

What torchrun starts in place of `emotalk.training.job`.
"""

import sys

import torch
from torch import nn

from emotalk.training import loop
from emotalk.training.job import TrainingJob
from emotalk.training.preparation import prepare_network


def without_chance(settings, device):
    """A network without dropout."""
    network, resolved = prepare_network(settings, device)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return network, resolved


if __name__ == "__main__":
    torch.set_num_threads(1)
    loop.prepare_network = without_chance
    TrainingJob.read(sys.argv[1]).join()
