"""The memory estimate equals what autograd saves, and too little memory or disk space is an error."""

from collections import namedtuple

import pytest
import torch

from emotalk.config.training import EncoderSettings
from emotalk.data.clips import ClipStore
from emotalk.device import autocast
from emotalk.errors import TrainingError
from emotalk.model import encoders
from emotalk.training import memory
from emotalk.training.batches import BatchMaker
from emotalk.training.memory import MemoryEstimate, Workload, check_memory_and_disk, estimate_memory, largest_workload
from emotalk.training.train import prepare_network
from tests.benchmarks.material import make_model_settings
from tests.conftest import TINY
from tests.unit.training.conftest import example

CPU = torch.device("cpu")
MIDDLE = TINY | {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "layerdrop": 0.0,
}


def saved_bytes(network, batch, precision) -> int:
    """Bytes of all distinct tensors that autograd saves in a forward pass, without parameters and their copies."""
    storages = {}

    def record(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        references.append(tensor)
        return tensor

    references = []
    # Our layers convert the weights of query, key and value to 16 bits in one tensor.
    copy_sizes = {parameter.numel() * 2 * count for parameter in network.parameters() for count in (1, 3)}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    with autocast(CPU, precision), torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        network.train()(batch.audio.content, batch.audio.emotion, batch.layout)
    return sum(
        size
        for address, size in storages.items()
        if address not in parameters and not (precision != "fp32" and size in copy_sizes)
    )


@pytest.fixture(params=["fp32", "bf16", "bf16, as on a GPU"])
def precision(request, monkeypatch):
    """In mixed precision a GPU uses our layers, which save slightly less than the plain layers."""
    if "our" in request.param:
        monkeypatch.setattr(encoders, "mixed_dtype", lambda device: torch.bfloat16)
    return request.param[:4]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_estimated_activations_of_a_layer_are_those_that_autograd_saves(clips, settings, precision, checkpointing):
    """The difference between two depths excludes other modules, which need about 1 % at full size."""

    def measure(depth):
        encoder = EncoderSettings(source="random", sizes=MIDDLE | {"num_hidden_layers": depth})
        run_settings = settings(
            model=make_model_settings(encoder),
            gradient_checkpointing=checkpointing,
            cache_features=True,
        )
        network = prepare_network(run_settings, CPU)
        examples = [example("self") | {"audio_c1e2": f"c{i}", "num_frames": 20 + 3 * i} for i in range(8)]
        batch = BatchMaker(ClipStore(clips), network.conv_frames, "every")(examples)
        estimate = estimate_memory(network, run_settings, precision, largest_workload([examples])).activations
        estimate -= 0 if precision == "fp32" else sum(p.numel() * 2 for p in network.parameters() if p.requires_grad)
        return estimate, saved_bytes(network, batch, precision)

    (shallow, saved_shallow), (deep, saved_deep) = measure(2), measure(6)
    # Padding increases the mean length from 30.5 to 41 frames.
    assert (saved_deep - saved_shallow) / (deep - shallow) == pytest.approx(41 / 30.5, rel=0.15)


def test_workload_counts_content_per_reconstruction_and_emotion_per_clip():
    pair, single = example("cross") | {"num_frames": 330}, example("self") | {"num_frames": 300}
    assert largest_workload([[pair]]) == Workload(content=330, emotion=220, longest=110)
    # A random pair uses clip A twice with the same length.
    assert largest_workload([[pair | {"kind": "random"}]]) == Workload(content=220, emotion=220, longest=110)
    assert largest_workload([[pair], [single, single]]) == Workload(content=600, emotion=600, longest=300)


def test_peak_is_the_larger_of_gradients_and_activations_unless_gradients_accumulate():
    estimate = MemoryEstimate(
        parameters=10, gradients=9, moments=18, average=0, activations=4, holds_gradients_and_activations=False
    )
    assert estimate.peak == 10 + 18 + 9
    assert estimate._replace(activations=12).peak == 10 + 18 + 12
    assert estimate._replace(holds_gradients_and_activations=True).peak == 10 + 18 + 9 + 4


def test_estimate_for_the_full_size_network(settings):
    """docs/method.md, section "Network": parameters have 2.39 GiB, a checkpoint with Adam's moments 7.1 GiB."""
    from emotalk.model.encoder_config import RELEASED_ENCODER
    from emotalk.model.pretrained import build_network

    encoder = EncoderSettings(source="random", sizes=RELEASED_ENCODER)
    with torch.device("meta"):
        network = build_network(encoder, encoder)
    workload = Workload(content=330, emotion=220, longest=110)
    need = estimate_memory(network, settings(), "bf16", workload)
    assert need.parameters / 2**30 == pytest.approx(2.39, abs=0.01)
    assert need.checkpoint / 2**30 == pytest.approx(7.1, abs=0.05)
    need_8bit = estimate_memory(network, settings(optimizer_state="8bit"), "bf16", workload)
    assert (need.moments - need_8bit.moments) / 2**30 == pytest.approx(3.53, abs=0.02)


Usage = namedtuple("Usage", "total used free")


def check(network, settings, folder, **changes):
    check_memory_and_disk(network, settings(**changes), "fp32", [[example("self") | {"num_frames": 100}]], folder)


def test_required_and_free_memory_are_logged_in_one_line(settings, tmp_path, caplog):
    check(prepare_network(settings(), CPU), settings, tmp_path)
    (line,) = caplog.messages
    assert line.startswith("Memory: peak about ")
    assert "for a batch of 100 frames" in line
    assert "Disk: 3 checkpoints of" in line


def test_too_little_memory_is_an_error_that_names_settings(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory_bytes", lambda device: 1000)
    with pytest.raises(TrainingError, match=r"more memory on cpu.*Lower train.batch_size .*train.accumulate.*8bit"):
        check(prepare_network(settings(), CPU), settings, tmp_path)


def test_too_little_disk_space_is_an_error_unless_existing_checkpoints_make_up_for_it(settings, tmp_path, monkeypatch):
    network = prepare_network(settings(), CPU)
    need = estimate_memory(network, settings(), "fp32", Workload(1, 1, 1)).checkpoint
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(1, 1, need))
    with pytest.raises(TrainingError, match=r"3 checkpoints of .* must fit, as a new one is written before"):
        check(network, settings, tmp_path)
    for name in ("epoch1_x.pth", "epoch2_x.pth"):
        (tmp_path / f"emotalk_model_{name}").write_bytes(bytes(need))
    check(network, settings, tmp_path)


def test_frozen_layers_need_no_gradients_and_no_activations(settings):
    network = prepare_network(settings(), CPU)
    workload = Workload(100, 100, 50)
    trainable = estimate_memory(network, settings(cache_features=True), "fp32", workload)
    for parameter in network.audio_encoder_cont.parameters():
        parameter.requires_grad_(False)
    frozen = estimate_memory(network, settings(cache_features=True), "fp32", workload)
    assert frozen.activations == trainable.activations / 2
    assert frozen.gradients < trainable.gradients
    assert frozen.parameters == trainable.parameters
