import pytest
import torch

from emotalk.model import EmoTalk
from emotalk.model.encoder_config import EncoderConfig
from tests.conftest import TINY


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = EmoTalk.from_configs(EncoderConfig(**TINY), EncoderConfig(**TINY))
    torch.nn.init.normal_(network.bs_map_r.weight, std=0.05)
    return network
