import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
BLOCKED = "transformers soundfile soxr librosa scipy matplotlib snakemake jsonschema tensorboard"


def test_training_needs_only_torch_numpy_pandas_pyarrow_pydantic_and_safetensors():
    program = f"""
import sys
for name in {BLOCKED.split()}:
    sys.modules[name] = None
import emotalk.training.train, emotalk.training.launch, emotalk.training.extract, emotalk.device
import emotalk.training.trainer
import tests.benchmarks.step, tests.benchmarks.memory, tests.benchmarks.epochs
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
