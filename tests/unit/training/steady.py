"""Training without dropout, whose random numbers differ between processes.

torchrun starts `python -m tests.unit.training.steady` instead of `emotalk.training.launch`.
"""

import json
import sys

import torch
from torch import nn

from emotalk.training import train
from emotalk.training.launch import TrainingJob, run_worker
from emotalk.training.train import prepare_network


def prepare_network_without_dropout(settings, device):
    """Network without dropout."""
    network = prepare_network(settings, device)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return network


if __name__ == "__main__":
    torch.set_num_threads(1)
    train.prepare_network = prepare_network_without_dropout
    run_worker(TrainingJob(**json.loads(sys.argv[1])))
