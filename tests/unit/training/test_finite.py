"""Training that goes wrong says so: values that are not finite, and faces that stand still."""

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


def optimizer_of(network, **options):
    options = {"moments": "fp32", "precision": "fp32"} | options
    return Optimizer(network.trainable_parameters(), 1e-3, FiniteGuard(CPU), **options)


def break_gradient(network) -> None:
    """The loss stays finite, its gradient does not."""
    network.bs_map_r.weight.register_hook(lambda gradient: gradient * torch.nan)


def test_a_gradient_that_is_not_finite_stops_before_the_update_though_the_loss_is_fine(network, batch):
    break_gradient(network)
    optimizer = optimizer_of(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    training_step(network, optimizer, [batch], WEIGHTS, precision="fp32")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(NonFiniteError, match=r"gradient is not finite \(norm nan\) on a batch with the clips c0, c1"):
        optimizer.check()


def test_fp16_lowers_its_scale_first_and_gives_up_where_that_does_not_help(network, batch):
    """A gradient may overflow fp16 now and then."""
    break_gradient(network)
    optimizer = optimizer_of(network, precision="fp16")
    training_step(network, optimizer, [batch], WEIGHTS, precision="fp16")
    optimizer.check()
    for _ in range(20):
        training_step(network, optimizer, [batch], WEIGHTS, precision="fp16")
    with pytest.raises(NonFiniteError, match=r"gradient is not finite \(norm nan\) on a batch with the clips c0, c1"):
        optimizer.check()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_gradient_is_shortened_to_the_norm_that_is_asked_for(network, batch, precision):
    """In fp16 after some steps, when the scale has been found."""
    optimizer = optimizer_of(network, clip_norm=1e-3, precision=precision)
    for _ in range(10):
        training_step(network, optimizer, [batch], WEIGHTS, precision=precision)
    gradients = [parameter.grad for parameter in network.trainable_parameters() if parameter.grad is not None]
    assert torch.nn.utils.get_total_norm(gradients).item() == pytest.approx(1e-3, rel=1e-2)


def test_a_validation_loss_that_is_not_finite_stops_the_run(run, monkeypatch, tmp_path):
    """Else it would be the best, or the last that anybody hears of."""
    original = Trainer.validation_means

    def poisoned(self):
        torch.nn.init.constant_(self._network.bs_map_r.bias, float("inf"))
        return original(self)

    monkeypatch.setattr(Trainer, "validation_means", poisoned)
    with pytest.raises(NonFiniteError, match="loss is not finite"):
        run()
    assert not list(tmp_path.glob("run/checkpoints/*/*.pth"))


def test_motion_is_the_variance_over_time_whatever_the_mean_and_the_padding(batch):
    times = torch.arange(batch.targets.shape[1]) % 2
    tracks = 5 + times[None, :, None].expand_as(batch.targets).float()
    found = motion_variance(torch.where(batch.mask[..., None], tracks, 99.0), batch)
    assert found["predicted_variance"].item() == pytest.approx(0.25, abs=1e-3)
    expected = [
        track[mask].var(dim=0, correction=0).mean() for track, mask in zip(batch.targets, batch.mask, strict=True)
    ]
    assert found["target_variance"].item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def means(predicted: float, target: float = 1.0, loss: float = 1.0) -> dict[str, float]:
    terms = dict.fromkeys(("cross", "self", "velocity", "classification"), 0.0)
    return {"loss": loss, **terms, "predicted_variance": predicted, "target_variance": target}


@pytest.mark.parametrize(("predicted", "target", "still"), [(0.001, 1, True), (0.5, 1, False), (0, 0, False)])
def test_a_face_that_hardly_moves_is_called_still(predicted, target, still, caplog):
    history = History([], None)
    history.add_epoch(1, {"train": means(1), "validation": means(predicted, target)}, total=1)
    assert is_still(history.rows) == still
    assert ("The face stands still: after epoch 1 its motion has 0.1 %" in caplog.text) == still


def test_the_best_epochs_are_those_of_the_lowest_validation_loss():
    history = History([], None)
    for epoch, loss in enumerate((3.0, 1.0, 2.0, 1.0), start=1):
        history.add_epoch(epoch, {"train": means(1, loss=-epoch), "validation": means(1, loss=loss)}, total=4)
    assert best_epochs(history.rows, 3) == [2, 4, 3]


def test_a_collapsed_run_logs_the_alarm(run, caplog, monkeypatch):
    run(epochs=1, learning_rate=1e-12)
    assert "The face stands still: after epoch 1" in caplog.text
