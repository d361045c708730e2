"""The workflow with its files in an S3 bucket on a local server."""

import shutil

import pytest

from tests.project import TINY_RUN

pytest.importorskip("snakemake_storage_plugin_s3", reason="pip install -e '.[cloud]'")
server = pytest.importorskip("moto.server", reason="pip install -e '.[dev]'")
boto3 = pytest.importorskip("boto3")

pytestmark = pytest.mark.long

KEYS = {"access-key": "key", "secret-key": "secret", "region": "us-east-1"}


@pytest.fixture
def bucket():
    """A bucket, and the Snakemake options that store files in it."""
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    url = "http://{}:{}".format(*moto.get_host_and_port())
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    s3 = boto3.resource("s3", endpoint_url=url, **keys)
    s3.create_bucket(Bucket="talk")
    options = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://talk/mine"]
    options += [f"--storage-s3-{name}={value}" for name, value in (KEYS | {"endpoint-url": url}).items()]
    yield s3.Bucket("talk"), options
    moto.stop()


def test_all_results_are_stored_in_the_bucket_and_reused(project, bucket):
    bucket, options = bucket
    workflow = project(TINY_RUN | {"pair": {"strategy": "random"}})
    # Buckets store times in whole seconds: an index of the same second would seem older than the local demo corpus.
    assert workflow.run("--cores", "1", "demo_corpus", *options).returncode == 0
    done = workflow.run("--cores", "2", "all", *options)
    assert done.returncode == 0, done.stderr
    keys = {item.key.removeprefix("mine/results/") for item in bucket.objects.all()}
    expected = {"recordings.parquet", "clips/RAVDESS.arrow", "manifest.parquet", "training/checkpoint.pth"}
    expected |= {"weights/emotalk.pth", "weights/emotalk.json", "evaluation/metrics.csv", "report/index.html"}
    assert expected <= keys
    assert {path.name for path in (workflow.folder / "results").iterdir()} <= {"demo_corpus", "logs"}
    shutil.rmtree(workflow.folder / ".snakemake/storage")  # As on another machine.
    assert workflow.jobs("all", *options) == set()
