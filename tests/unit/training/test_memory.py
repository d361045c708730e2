"""The estimate of memory is what autograd really keeps, and refuses what cannot fit."""

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
from emotalk.training.memory import Memory, Workload, check_memory_and_disk, estimate_memory, largest_workload
from emotalk.training.train import prepare_network
from tests.benchmarks.material import model_of
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


def kept_for_backward(network, batch, precision) -> int:
    """Bytes of all distinct tensors that autograd saves in a forward, parameters and their copies aside."""
    storages = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    alive = []
    # `mixed_layer` rounds query, key and value together.
    shapes = {parameter.numel() * 2 * together for parameter in network.parameters() for together in (1, 3)}
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    with autocast(CPU, precision), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network.train()(batch.heard.content, batch.heard.emotion, batch.layout)
    return sum(n for where, n in storages.items() if where not in own and not (precision != "fp32" and n in shapes))


@pytest.fixture(params=["fp32", "bf16", "bf16, as on a GPU"])
def precision(request, monkeypatch):
    """In mixed precision a GPU runs `mixed_layer`, which keeps a little less than the plain layer under autocast."""
    if "GPU" in request.param:
        monkeypatch.setattr(encoders, "mixed_type", lambda device: torch.bfloat16)
    return request.param[:4]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_estimate_of_a_layers_activations_is_what_autograd_keeps(clips, settings, precision, checkpointing):
    """By the difference of networks of two depths; what lies around the layers is a hundredth at full size."""

    def kept(depth):
        encoder = EncoderSettings(source="random", sizes=MIDDLE | {"num_hidden_layers": depth})
        chosen = settings(
            model=model_of(encoder),
            gradient_checkpointing=checkpointing,
            cache_features=True,
        )
        network = prepare_network(chosen, CPU)
        examples = [example("self") | {"audio_c1e2": f"c{i}", "num_frames": 20 + 3 * i} for i in range(8)]
        batch = BatchMaker(ClipStore(clips), network.conv_frames, "every")(examples)
        estimate = estimate_memory(network, chosen, precision, largest_workload([examples])).activations
        estimate -= 0 if precision == "fp32" else sum(p.numel() * 2 for p in network.parameters() if p.requires_grad)
        return estimate, kept_for_backward(network, batch, precision)

    (shallow, found_shallow), (deep, found_deep) = kept(2), kept(6)
    # The clips are padded from 30.5 frames on average to 41.
    assert (found_deep - found_shallow) / (deep - shallow) == pytest.approx(41 / 30.5, rel=0.15)


def test_the_load_of_a_batch_counts_content_by_reconstruction_and_emotion_by_clip():
    pair, alone = example("cross") | {"num_frames": 330}, example("self") | {"num_frames": 300}
    assert largest_workload([[pair]]) == Workload(content=330, emotion=220, longest=110)
    # A random pair hears clip A twice at its own length, and B once.
    assert largest_workload([[pair | {"kind": "random"}]]) == Workload(content=220, emotion=220, longest=110)
    assert largest_workload([[pair], [alone, alone]]) == Workload(content=600, emotion=600, longest=300)


def test_a_backward_frees_activations_as_it_makes_gradients_unless_these_accumulate():
    once = Memory(parameters=10, gradients=9, moments=18, average=0, activations=4, holds_both=False)
    assert once.peak == 10 + 18 + 9
    assert once._replace(activations=12).peak == 10 + 18 + 12
    assert once._replace(holds_both=True).peak == 10 + 18 + 9 + 4


def test_the_full_size_network_needs_what_domain_md_says(settings):
    """DOMAIN.md, section 2: 2.39 GiB of parameters; with Adam's moments a checkpoint is 7.1 GiB."""
    from emotalk.model.pretrained import RELEASED_ENCODER, build_network

    encoder = EncoderSettings(source="random", sizes=RELEASED_ENCODER)
    with torch.device("meta"):
        network = build_network(encoder, encoder)
    workload = Workload(content=330, emotion=220, longest=110)
    need = estimate_memory(network, settings(), "bf16", workload)
    assert need.parameters / 2**30 == pytest.approx(2.39, abs=0.01)
    assert need.checkpoint / 2**30 == pytest.approx(7.1, abs=0.05)
    eight = estimate_memory(network, settings(optimizer_state="8bit"), "bf16", workload)
    assert (need.moments - eight.moments) / 2**30 == pytest.approx(3.53, abs=0.02)


Usage = namedtuple("Usage", "total used free")


def check(network, settings, folder, **changes):
    check_memory_and_disk(network, settings(**changes), "fp32", [[example("self") | {"num_frames": 100}]], folder)


def test_what_is_needed_and_what_is_there_stands_in_one_line(settings, tmp_path, caplog):
    check(prepare_network(settings(), CPU), settings, tmp_path)
    (line,) = caplog.messages
    assert line.startswith("Memory: about ")
    assert "of activations for a batch of 100 frames" in line
    assert "Disk: 3 checkpoints of" in line


def test_too_little_memory_is_an_error_that_says_what_to_change(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    with pytest.raises(TrainingError, match=r"more memory on cpu.*Lower train.batch_size .*train.accumulate.*8bit"):
        check(prepare_network(settings(), CPU), settings, tmp_path)


def test_too_little_disk_is_an_error_and_checkpoints_that_are_there_count(settings, tmp_path, monkeypatch):
    network = prepare_network(settings(), CPU)
    need = estimate_memory(network, settings(), "fp32", Workload(1, 1, 1)).checkpoint
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(1, 1, need))
    with pytest.raises(TrainingError, match=r"3 checkpoints of .* must fit: a new one is complete before"):
        check(network, settings, tmp_path)
    for name in ("epoch1_x.pth", "epoch2_x.pth"):
        (tmp_path / f"emotalk_model_{name}").write_bytes(bytes(need))
    check(network, settings, tmp_path)


def test_frozen_layers_need_neither_gradients_nor_activations(settings):
    network = prepare_network(settings(), CPU)
    workload = Workload(100, 100, 50)
    whole = estimate_memory(network, settings(cache_features=True), "fp32", workload)
    for parameter in network.audio_encoder_cont.parameters():
        parameter.requires_grad_(False)
    part = estimate_memory(network, settings(cache_features=True), "fp32", workload)
    assert part.activations == whole.activations / 2
    assert part.gradients < whole.gradients
    assert part.parameters == whole.parameters
