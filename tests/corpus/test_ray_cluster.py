"""The clip tasks on a cluster of two nodes, which are processes on this machine's loopback."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.errors import RecordError
from avsc_tf.corpus.clip_tasks import ClipTask
from avsc_tf.corpus.prepare import prepare
from avsc_tf.corpus.ray_cluster import on_ray
from avsc_tf.corpus.workers import Workforce, in_this_process
from avsc_tf.demo.speakers.corpus import make_grid_corpus
from avsc_tf.media.clips import find_clips

ray = pytest.importorskip("ray", reason="Ray (extra `ray`) is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings
NAMES = ("bbaf2n", "lrwz5a", "swiz3n")


@pytest.fixture(scope="module")
def config(root) -> Config:
    return load_config(
        root / "configs" / "demo.yaml",
        ["face.crop_px=96", "face.vgg_px=32", "image.size_px=32", "split.test_share=0.4"],
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for seed, speaker in enumerate(("source", "target")):
        make_grid_corpus(folder / speaker, NAMES, held_out=1, size_px=96, seed=seed, progress=False)
    return folder


@pytest.fixture(scope="module")
def address():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        yield cluster.address
        cluster.shutdown()


def test_records_equal_the_local_ones(config, clips, address, tmp_path):
    for out, workforce in (("local", Workforce()), ("ray", Workforce(ray_address=address))):
        prepare(config, clips / "source", clips / "target", tmp_path / out, progress=False, workforce=workforce)
    local, ray_made = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*") if path.is_file()}
        for out in ("local", "ray")
    )
    assert local.keys() == ray_made.keys()
    assert [name for name in local if local[name] != ray_made[name]] == []
    assert len(local) > 10  # features, shards, statistics, manifest, settings


def test_a_killed_worker_costs_only_its_clip(config, clips, address, tmp_path):
    """Whoever opens one of the clips for the first time is killed."""
    chosen = find_clips(clips / "source")
    victim = tmp_path / "victim.mp4"
    victim.write_bytes(chosen[1].video.read_bytes())
    tasks = [ClipTask(clip, config) for clip in chosen]
    tasks[1] = ClipTask(type(chosen[1])(**{**vars(chosen[1]), "video": victim}), config)
    killed: list[int] = []
    stop = threading.Event()
    killer = threading.Thread(target=_kill_first_reader, args=(victim, stop, killed))
    killer.start()
    try:
        outcomes = dict(on_ray(tasks, address=address))
    finally:
        stop.set()
        killer.join()
    assert len(killed) == 1
    assert outcomes == dict(in_this_process(tasks))


def _kill_first_reader(path: Path, stop: threading.Event, killed: list[int]) -> None:
    while not killed and not stop.wait(0.005):
        for process in Path("/proc").iterdir():
            if not process.name.isdigit() or int(process.name) == os.getpid():
                continue
            with suppress(OSError):
                if str(path) in [os.readlink(fd) for fd in (process / "fd").iterdir()]:
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    break


def test_no_cluster_is_said():
    with pytest.raises(RecordError, match=r"--ray 127\.0\.0\.1:9: no cluster answers there"):
        list(on_ray([], address="127.0.0.1:9"))
