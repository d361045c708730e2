"""Choice of the device."""

import pytest
import torch

from emotalk import device


@pytest.mark.parametrize("case", [(1, True, True), (1, False, False), (0, True, False)])
def test_warning_if_torch_cannot_use_a_granted_gpu(monkeypatch, tmp_path, caplog, case):
    """Otherwise a cluster charges for an unused GPU."""
    granted, has_driver, warns = case
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "_DRIVER", tmp_path if has_driver else tmp_path / "none")
    assert device.choose_device(granted, 1) == torch.device("cpu")
    assert ("This machine has a GPU, but torch cannot use it" in caplog.text) is warns
