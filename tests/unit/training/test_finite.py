"""Failures of training are reported: non-finite values, and predictions that do not move."""

import pytest
import torch

from emotalk.data.clips import ClipStore
from emotalk.training.batches import BatchMaker
from emotalk.training.finite import FiniteGuard, NonFiniteError
from emotalk.training.history import History, best_epochs, is_still
from emotalk.training.losses import motion_variance
from emotalk.training.optimizer import Optimizer
from emotalk.training.train import prepare_network
from emotalk.training.trainer import Trainer, training_step
from tests.unit.training.conftest import CPU, example
from tests.unit.training.test_step import WEIGHTS


@pytest.fixture
def network(settings):
    network = prepare_network(settings(), CPU)
    torch.nn.init.normal_(network.bs_map_r.weight, std=0.1)
    return network.eval()


@pytest.fixture
def batch(clips, network):
    return BatchMaker(ClipStore(clips), network.conv_frames, "every")([example("cross")])


def make_optimizer(network, **options):
    options = {"moments": "fp32", "precision": "fp32"} | options
    return Optimizer(network.trainable_parameters(), 1e-3, FiniteGuard(CPU), **options)


def make_gradient_nan(network) -> None:
    """Make the gradient NaN while the loss is finite."""
    network.bs_map_r.weight.register_hook(lambda gradient: gradient * torch.nan)


def test_nonfinite_gradient_skips_the_update_even_if_the_loss_is_finite(network, batch):
    make_gradient_nan(network)
    optimizer = make_optimizer(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    training_step(network, optimizer, [batch], WEIGHTS, precision="fp32")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(NonFiniteError, match=r"gradient is not finite \(norm nan\) on a batch with the clips c0, c1"):
        optimizer.check()


def test_fp16_lowers_the_loss_scale_before_a_nonfinite_gradient_is_an_error(network, batch):
    """Occasional overflows of fp16 are normal."""
    make_gradient_nan(network)
    optimizer = make_optimizer(network, precision="fp16")
    state = optimizer.state()
    optimizer.restore(state | {"scaler": state["scaler"] | {"scale": 2.0}})
    training_step(network, optimizer, [batch], WEIGHTS, precision="fp16")
    optimizer.check()
    training_step(network, optimizer, [batch], WEIGHTS, precision="fp16")
    with pytest.raises(NonFiniteError, match=r"gradient is not finite \(norm nan\) on a batch with the clips c0, c1"):
        optimizer.check()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_gradient_is_clipped_to_the_maximum_norm(network, batch, precision):
    """fp16 needs some steps to find its loss scale."""
    optimizer = make_optimizer(network, clip_norm=1e-3, precision=precision)
    for _ in range(10):
        training_step(network, optimizer, [batch], WEIGHTS, precision=precision)
    gradients = [parameter.grad for parameter in network.trainable_parameters().values() if parameter.grad is not None]
    assert torch.nn.utils.get_total_norm(gradients).item() == pytest.approx(1e-3, rel=1e-2)


def test_nonfinite_validation_loss_stops_the_run(run, monkeypatch, tmp_path):
    original = Trainer.compute_validation_means

    def with_infinite_bias(self):
        torch.nn.init.constant_(self._network.bs_map_r.bias, float("inf"))
        return original(self)

    monkeypatch.setattr(Trainer, "compute_validation_means", with_infinite_bias)
    with pytest.raises(NonFiniteError, match="loss is not finite"):
        run()
    assert not list(tmp_path.glob("run/checkpoints/*/*.pth"))


def test_motion_variance_is_independent_of_the_mean_and_of_padding(batch):
    times = torch.arange(batch.targets.shape[1]) % 2
    tracks = 5 + times[None, :, None].expand_as(batch.targets).float()
    variances = motion_variance(torch.where(batch.mask[..., None], tracks, 99.0), batch)
    assert variances["predicted_variance"].item() == pytest.approx(0.25, abs=1e-3)
    expected = [
        track[mask].var(dim=0, correction=0).mean() for track, mask in zip(batch.targets, batch.mask, strict=True)
    ]
    assert variances["target_variance"].item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def means(predicted: float, target: float = 1.0, loss: float = 1.0) -> dict[str, float]:
    terms = dict.fromkeys(("cross", "self", "velocity", "classification"), 0.0)
    return {"loss": loss, **terms, "predicted_variance": predicted, "target_variance": target}


@pytest.mark.parametrize(("predicted", "target", "still"), [(0.001, 1, True), (0.5, 1, False), (0, 0, False)])
def test_face_that_hardly_moves_is_detected(predicted, target, still, caplog):
    history = History([], None)
    history.add_epoch(1, {"train": means(1), "validation": means(predicted, target)}, total=1)
    assert is_still(history.rows) == still
    assert ("The predicted face hardly moves: after epoch 1 its motion has 0.1 %" in caplog.text) == still


def test_best_epochs_have_the_lowest_validation_losses():
    history = History([], None)
    for epoch, loss in enumerate((3.0, 1.0, 2.0, 1.0), start=1):
        history.add_epoch(epoch, {"train": means(1, loss=-epoch), "validation": means(1, loss=loss)}, total=4)
    assert best_epochs(history.rows, 3) == [2, 4, 3]


def test_collapsed_run_logs_a_warning(run, caplog):
    run(epochs=1, learning_rate=1e-12)
    assert "The predicted face hardly moves: after epoch 1" in caplog.text
