import pytest
import torch
from transformers import Wav2Vec2Config

from emotalk.model import EmoTalk
from tests.conftest import TINY


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = EmoTalk.from_configs(Wav2Vec2Config(**TINY), Wav2Vec2Config(**TINY))
    torch.nn.init.normal_(network.bs_map_r.weight, std=0.05)
    return network
