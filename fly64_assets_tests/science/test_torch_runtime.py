import subprocess
import sys

import pytest

from fly64_assets.science import torch_runtime


def test_torch_is_returned_and_may_be_asked_for_twice():
    assert torch_runtime.require_torch() is torch_runtime.require_torch()


@pytest.mark.parametrize("version", ["1.13.1", "2.1.2+cpu"])
def test_old_torch_is_refused_with_the_install_command(monkeypatch, version):
    monkeypatch.setattr(torch_runtime.require_torch(), "__version__", version)
    with pytest.raises(ImportError, match=r"POLICY-001.*pip install 'torch>=2\.2'"):
        torch_runtime.require_torch()


def test_missing_torch_is_refused_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"POLICY-001.*cannot be imported.*pip install"):
        torch_runtime.require_torch()


def test_torchvision_imports_after_require_torch_in_a_fresh_process():
    code = "from fly64_assets.science.torch_runtime import require_torch; require_torch(); import torchvision"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_gradients_are_off_while_an_item_is_computed_and_as_before_in_between():
    torch = torch_runtime.require_torch()

    def items():
        for _ in range(2):
            yield torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    found = []
    for inside in torch_runtime.without_gradients(items()):
        found.append((inside, (torch.is_inference_mode_enabled(), torch.is_grad_enabled())))
    assert found == [((True, False), (False, True))] * 2
    assert torch.is_grad_enabled()


def test_thread_count_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        torch_runtime.limit_threads(0)
