"""Exponential moving average of the parameters."""

import pytest
import torch
from torch.nn import Parameter

from emotalk.errors import TrainingError
from emotalk.training.optimizer import WeightAverage


def test_average_follows_the_formula():
    """a ← d a + (1 - d) p with d = min(decay, (1 + n) / (10 + n))."""
    parameter = Parameter(torch.tensor([1.0]))
    average, expected = WeightAverage({"w": parameter}, 0.3), 1.0
    for n, value in enumerate((2.0, 5.0, -1.0, 4.0), start=1):
        parameter.data.fill_(value)
        average.update()
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.state()["weights"]["w"], torch.tensor([expected]))
    with average.applied():
        torch.testing.assert_close(parameter.data, torch.tensor([expected]))
    assert parameter.item() == 4.0


def test_restored_average_continues_identically():
    one, other = Parameter(torch.tensor([1.0])), Parameter(torch.tensor([7.0]))
    first, second = WeightAverage({"w": one}, 0.99), WeightAverage({"w": other}, 0.99)
    one.data.fill_(3.0)
    first.update()
    second.restore(first.state())
    for parameter, average in ((one, first), (other, second)):
        parameter.data.fill_(5.0)
        average.update()
    assert torch.equal(first.state()["weights"]["w"], second.state()["weights"]["w"])
    assert first.state()["count"] == second.state()["count"] == 2


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "no average of w"),
        ({"w": torch.ones(1)}, r"average of w in the checkpoint has type float32 and shape \(1,\) instead of type"),
        ({"w": torch.ones(3, dtype=torch.int64)}, "average of w in the checkpoint has type int64"),
    ],
)
def test_average_of_another_network_is_an_error_with_the_name_of_the_tensor(weights, message):
    average = WeightAverage({"w": Parameter(torch.zeros(3))}, 0.99)
    with pytest.raises(TrainingError, match=message):
        average.restore({"weights": weights, "count": 1})


def test_exported_weights_are_the_average(run, clips, manifest, tmp_path):
    from safetensors.torch import load_file

    from emotalk.training.extract import extract_weights

    checkpoint, folder = run(epochs=2, ema_decay=0.5)
    extract_weights(folder / "checkpoint.pth", clips, manifest, tmp_path, settings={}, captured={})
    extracted = load_file(tmp_path / "emotalk.safetensors")
    assert torch.equal(extracted["bs_map_r.weight"], checkpoint["average"]["weights"]["bs_map_r.weight"])
    assert not torch.equal(extracted["bs_map_r.weight"], checkpoint["model"]["bs_map_r.weight"])
