"""Gradients of a batch are the mean over its examples, and non-finite losses skip updates."""

import pytest
import torch

from emotalk.config.training import FreezeSettings, LossWeights
from emotalk.data.clips import ClipStore
from emotalk.device import autocast, choose_precision
from emotalk.errors import TrainingError
from emotalk.model import encoders
from emotalk.training.batches import BatchMaker
from emotalk.training.finite import FiniteGuard
from emotalk.training.losses import batch_losses
from emotalk.training.optimizer import Optimizer
from emotalk.training.train import prepare_network
from emotalk.training.trainer import training_step
from tests.unit.training.conftest import example

CPU = torch.device("cpu")
WEIGHTS = LossWeights()
ROWS = [example("cross"), example("self"), example("random")]


@pytest.fixture
def network(settings):
    network = prepare_network(settings(), CPU)
    torch.nn.init.normal_(network.bs_map_r.weight, std=0.1)
    return network.eval()


@pytest.fixture
def make_batch(clips, network):
    return BatchMaker(ClipStore(clips), network.conv_frames, "every")


def make_optimizer(network, precision="fp32", moments="fp32"):
    return Optimizer(network.trainable_parameters(), 1e-3, FiniteGuard(CPU), moments=moments, precision=precision)


def gradients(network, batches) -> dict:
    training_step(network, make_optimizer(network), batches, WEIGHTS, precision="fp32")
    return {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }


@pytest.mark.parametrize("groups", [[[0], [1], [2]], [[0, 1], [2]], [[2, 0], [1]]])
def test_accumulated_batches_have_the_gradients_of_one_batch(network, make_batch, groups):
    """Also for batches of different sizes, as all examples have equal weight."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    together = gradients(network, [make_batch(ROWS)])
    network.load_state_dict(state)
    apart = gradients(network, [make_batch([ROWS[i] for i in group]) for group in groups])
    assert together.keys() == apart.keys()
    for name, gradient in together.items():
        torch.testing.assert_close(apart[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_gradients_of_a_batch_are_the_mean_over_single_examples(network, make_batch):
    state = {name: value.clone() for name, value in network.state_dict().items()}
    together = gradients(network, [make_batch(ROWS)])
    singles = []
    for row in ROWS:
        network.load_state_dict(state)
        singles.append(gradients(network, [make_batch([row])]))
    for name, gradient in together.items():
        mean = sum(single.get(name, torch.zeros_like(gradient)) for single in singles) / len(ROWS)
        torch.testing.assert_close(gradient, mean, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_nonfinite_loss_skips_all_updates_until_the_check(network, make_batch, precision):
    optimizer = make_optimizer(network, precision)
    good, bad = make_batch(ROWS[:1]), make_batch(ROWS[1:2])
    bad.targets[0, 0, 0] = float("nan")
    training_step(network, optimizer, [good], WEIGHTS, precision=precision)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for batch in (bad, good):
        training_step(network, optimizer, [batch], WEIGHTS, precision=precision)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(TrainingError, match=r"not finite \(loss nan.*with the clips c4\."):
        optimizer.check()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_step_on_a_gpu_never_synchronizes(network, make_batch, precision):
    device = torch.device("cuda")
    network.to(device).train()
    optimizer = Optimizer(
        network.trainable_parameters(),
        1e-3,
        FiniteGuard(device),
        moments="fp32",
        precision=precision,
    )
    batches = [make_batch(ROWS).pin_memory().to(device) for _ in range(3)]
    training_step(network, optimizer, batches[:1], WEIGHTS, precision=precision)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[1:]:
            training_step(network, optimizer, [batch], WEIGHTS, precision=precision)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    optimizer.check()


def test_finite_losses_pass_the_check(network, make_batch):
    optimizer = make_optimizer(network)
    training_step(network, optimizer, [make_batch(ROWS)], WEIGHTS, precision="fp32")
    optimizer.check()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("fp16", 0.01)])
def test_mixed_precision_has_nearly_the_losses_of_fp32(network, make_batch, precision, tolerance, device):
    exact = batch_losses(network, make_batch(ROWS), WEIGHTS, precision="fp32")
    with pytest.MonkeyPatch.context() as patch:
        if device == "cuda":  # A GPU uses our layers.
            patch.setattr(encoders, "mixed_dtype", lambda device: torch.get_autocast_dtype(device.type))
        mixed = batch_losses(network, make_batch(ROWS), WEIGHTS, precision=precision)
    for name, value in exact.items():
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(value.item(), rel=tolerance), name


def test_loss_scale_of_fp16_is_part_of_the_state(network, make_batch):
    optimizer, other = make_optimizer(network, "fp16"), make_optimizer(network, "fp16")
    training_step(network, optimizer, [make_batch(ROWS)], WEIGHTS, precision="fp16")
    optimizer._scaler.update(new_scale=128.0)
    other.restore(optimizer.state())
    assert other.state()["scaler"] == optimizer.state()["scaler"]
    assert other.state()["scaler"]["scale"] == 128.0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"exp_avg": torch.full((52, 832), torch.nan)}, "NaN or infinite values in exp_avg of bs_map_r.weight"),
        (
            {"exp_avg_sq": torch.ones(3)},
            r"exp_avg_sq of bs_map_r.weight in .* has type float32 and shape \(3,\) instead",
        ),
        ({"exp_avg": torch.ones(52, 832, dtype=torch.int64)}, "exp_avg of bs_map_r.weight in .* has type int64"),
        ({"step": torch.tensor(torch.nan)}, "NaN or infinite values in step of bs_map_r.weight"),
    ],
)
def test_damaged_moments_in_a_checkpoint_are_an_error_with_the_name_of_the_parameter(
    network, make_batch, damage, message
):
    optimizer = make_optimizer(network)
    training_step(network, optimizer, [make_batch(ROWS)], WEIGHTS, precision="fp32")
    state = optimizer.state()
    number = list(network.trainable_parameters()).index("bs_map_r.weight")
    state["optimizer"]["state"][number].update(damage)
    with pytest.raises(TrainingError, match=message):
        make_optimizer(network).restore(state)


def test_moments_of_another_network_are_an_error(network):
    other = make_optimizer(network)
    state = Optimizer(
        {"w": torch.nn.Parameter(torch.ones(2))}, 1e-3, FiniteGuard(CPU), moments="fp32", precision="fp32"
    )
    with pytest.raises(TrainingError, match=r"optimizer state does not match the network: .*Move the newest"):
        other.restore(state.state())


def test_auto_precision_is_fp32_on_the_cpu():
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_precision_on_a_gpu_is_bf16_if_supported(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert choose_precision("auto", torch.device("cuda")) == expected


def test_bf16_on_a_gpu_without_support_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    with pytest.raises(TrainingError, match=r"Old GPU does not support bf16. Set train.precision to fp16"):
        choose_precision("bf16", torch.device("cuda"))


def test_autocast_computes_matrix_products_in_the_precision():
    a = torch.randn(4, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with autocast(CPU, precision):
            assert (a @ a).dtype == dtype


def test_8bit_moments_without_bitsandbytes_are_an_error_that_says_how_to_install_it(network, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim", None)
    with pytest.raises(TrainingError, match=r"needs bitsandbytes: pip install .*8bit"):
        make_optimizer(network, moments="8bit")


def test_8bit_moments_train_and_are_saved(network, make_batch):
    pytest.importorskip("bitsandbytes")
    optimizer = make_optimizer(network, moments="8bit")
    losses = [
        training_step(network, optimizer, [make_batch(ROWS)], WEIGHTS, precision="fp32")["loss"] for _ in range(8)
    ]
    assert losses[-1] < losses[0]
    other = make_optimizer(network, moments="8bit")
    other.restore(optimizer.state())
    moments = [value.dtype for entry in other.state()["optimizer"]["state"].values() for value in _tensors(entry)]
    assert torch.uint8 in moments


def _tensors(entry) -> list:
    nested = [value for value in entry.values() if isinstance(value, dict)]
    return [v for v in entry.values() if isinstance(v, torch.Tensor)] + [t for part in nested for t in _tensors(part)]


@pytest.mark.parametrize(
    ("part", "frozen"),
    [("conv", []), (1, ["feature_projection", "encoder.pos_conv_embed", "encoder.layers.0."]), ("all", [""])],
)
def test_freezing_freezes_exactly_the_selected_parts(settings, part, frozen):
    network = prepare_network(settings(freeze=FreezeSettings(content_encoder=part, emotion_encoder=part)), CPU)
    for name, parameter in network.named_parameters():
        _, encoder, inner = name.partition("audio_encoder_")
        inner = inner.partition(".")[2].removeprefix("wav2vec2.")
        expected = bool(encoder) and ("feature_extractor" in name or any(inner.startswith(part) for part in frozen))
        assert parameter.requires_grad != expected, name


def test_more_frozen_layers_than_the_encoder_has_is_an_error(settings):
    with pytest.raises(Exception, match=r"train\.freeze is 25, but the encoder has only 1 layers"):
        prepare_network(settings(freeze=FreezeSettings(content_encoder=25, emotion_encoder="conv")), CPU)


def test_frozen_encoders_are_not_updated(settings, make_batch):
    network = prepare_network(settings(freeze=FreezeSettings(content_encoder="all", emotion_encoder="all")), CPU)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.nn.init.normal_(network.bs_map_r.weight, std=0.1)
    training_step(network, make_optimizer(network), [make_batch(ROWS)], WEIGHTS, precision="fp32")
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not any("encoder_" in name for name in changed)
