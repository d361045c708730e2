"""Exponential moving average of the parameters."""

import torch
from torch.nn import Parameter

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


def test_exported_weights_are_the_average(run, clips, manifest, tmp_path):
    from safetensors.torch import load_file

    from emotalk.training.extract import extract_weights

    checkpoint, folder = run(epochs=2, ema_decay=0.5)
    extract_weights(folder / "checkpoint.pth", clips, manifest, tmp_path, settings={}, captured={})
    extracted = load_file(tmp_path / "emotalk.safetensors")
    assert torch.equal(extracted["bs_map_r.weight"], checkpoint["average"]["weights"]["bs_map_r.weight"])
    assert not torch.equal(extracted["bs_map_r.weight"], checkpoint["model"]["bs_map_r.weight"])
