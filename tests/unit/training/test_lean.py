import subprocess
import sys

BLOCKED = "soundfile soxr librosa scipy matplotlib snakemake jsonschema tensorboard"


def test_training_runs_on_a_machine_with_torch_transformers_numpy_pandas_pyarrow_and_safetensors_only():
    program = f"""
import sys
for name in {BLOCKED.split()}:
    sys.modules[name] = None
import emotalk.training.loop, emotalk.training.extraction, emotalk.training.device
import emotalk.training.trainer
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
