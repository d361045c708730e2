"""The device that is computed on."""

import pytest
import torch

from emotalk import device


@pytest.mark.parametrize("case", [(1, True, True), (1, False, False), (0, True, False)])
def test_a_gpu_that_torch_cannot_use_is_told(monkeypatch, tmp_path, caplog, case):
    """Else a cluster bills days of a GPU that does nothing."""
    granted, has_driver, told = case
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "_DRIVER", tmp_path if has_driver else tmp_path / "none")
    assert device.choose_device(granted, 1) == torch.device("cpu")
    assert ("There is a GPU here, and torch cannot use it" in caplog.text) is told
