"""Exported models need nothing of ours: the wheel's command, a bare process, and a C program run them alike."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SIGNATURES = [
    ("conversion", "convert"),
    ("image", "paint"),
    ("wavenet", "generate"),
    ("wavenet", "generate_from_uniform"),
    ("wavenet", "score"),
    ("end_to_end", "convert_and_paint"),
]
BARE = {"PATH": os.defpath, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
# The same graph on the same machine: only the split of the work between threads may differ.
SAME = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def cases(joint, make_clips, make_batch, tmp_path_factory) -> dict[tuple[str, str], Path]:
    """Of each signature a folder with its inputs, NAME.npy, and what it gives in this process, NAME.here.npy."""
    rng, found = np.random.default_rng(2), {}
    source, target = (make_clips(joint.bundle, [2, 3], speaker=s) for s in ("source", "target"))
    more = {
        "generate": {"seed": np.array([3, 4], np.int32)},
        "generate_from_uniform": {"uniform": rng.random((2, 640 * 3), np.float32)},
        "score": {"waveform": rng.normal(0, 0.1, (2, 640 * 3)).astype(np.float32)},
    }
    for model, signature in SIGNATURES:
        clips = source if signature.startswith("convert") else target
        has_face = model != "wavenet" or joint.bundle.config.wavenet.facial_channels
        inputs = {
            **make_batch(clips, *(("mel", "keypoints", "vgg") if has_face else ("mel",))),
            **more.get(signature, {}),
        }
        folder = tmp_path_factory.mktemp(signature)
        for name, array in inputs.items():
            np.save(folder / f"{name}.npy", array)
        for name, array in joint.signature(model, signature)(**inputs).items():
            np.save(folder / f"{name}.here.npy", array)
        found[model, signature] = folder
    return found


def assert_same_outputs(folder: Path, suffix: str) -> None:
    here = sorted(folder.glob("*.here.npy"))
    assert here
    for path in here:
        name = path.name.removesuffix(".here.npy")
        wanted, found = np.load(path), np.load(folder / f"{name}.{suffix}.npy")
        assert found.dtype == wanted.dtype and found.shape == wanted.shape and found.size
        np.testing.assert_allclose(found.astype(float), wanted.astype(float), err_msg=name, **SAME)


def test_a_process_with_tensorflow_alone(joint, cases) -> None:
    script = Path(__file__).with_name("only_tensorflow.py")
    triples = [
        str(part)
        for (model, signature), folder in cases.items()
        for part in (joint.out / model / "1", signature, folder)
    ]
    done = subprocess.run(
        [sys.executable, "-I", script, *triples], capture_output=True, text=True, env=BARE, cwd=joint.out, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[-2] == "[] [] []"
    for folder in cases.values():
        assert_same_outputs(folder, "fresh")


@pytest.fixture(scope="module")
def c_program(root, tmp_path_factory) -> Path:
    """The example, compiled against the wheel."""
    import tensorflow as tf

    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    wheel, program = Path(tf.__file__).parent, tmp_path_factory.mktemp("c") / "run_saved_model"
    libraries = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", f"-Wl,-rpath,{wheel}"]
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{wheel / 'include'}"]
    command += [root / "examples" / "run_saved_model.c", "-o", program, f"-L{wheel}", *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run_c(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, env=BARE, check=False)


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        pytest.param(*case, marks=[] if case[1] in ("convert", "generate") else [pytest.mark.slow])
        for case in SIGNATURES
    ],
)
def test_the_c_program(joint, cases, c_program, model: str, signature: str) -> None:
    folder = cases[model, signature]
    done = run_c(c_program, joint.out / model / "1", signature, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same_outputs(folder, "out")


def test_the_c_program_says_what_is_wrong(joint, cases, c_program, tmp_path) -> None:
    model, folder = joint.out / "conversion" / "1", cases["conversion", "convert"]
    listed = run_c(c_program, model)
    assert listed.returncode == 0 and "convert\n" in listed.stdout and "is_unfamiliar" in listed.stdout
    for arguments, message in (
        ((model, "nothing", folder), "no such signature: nothing"),
        ((tmp_path, "convert", folder), "Could not find SavedModel"),
        ((model, "convert", tmp_path), "cannot be read"),
    ):
        done = run_c(c_program, *arguments)
        assert done.returncode == 2 and message in done.stderr
    bad = Path(shutil.copytree(folder, tmp_path / "bad"))
    np.save(bad / "lengths.npy", np.array([2, 9], np.int32))
    done = run_c(c_program, model, "convert", bad)
    assert done.returncode == 2 and "lengths: each must lie between 1 and the video frames" in done.stderr
    (bad / "mel.npy").write_bytes((bad / "mel.npy").read_bytes()[:-1])
    assert "truncated" in run_c(c_program, model, "convert", bad).stderr


def operations(folder: Path) -> set[str]:
    """Of the graph and of every function in it."""
    from tensorflow.core.protobuf import saved_model_pb2

    stored = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    assert len(stored.meta_graphs) == 1
    graph = stored.meta_graphs[0].graph_def
    functions = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes} - functions


def test_no_operation_calls_python(joint) -> None:
    """Nor XLA, which not every server has. That TensorFlow registers all of them, a bare process says above."""
    for model, folder in joint.exported.folders.items():
        used = operations(folder)
        assert not used & {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}, model
        assert not {op for op in used if op.startswith("Xla")}, model
        assert len(used) > 30, model


def stored_floats(folder: Path) -> int:
    import tensorflow as tf

    variables = tf.train.load_checkpoint(str(folder / "variables" / "variables")).get_variable_to_shape_map()
    return sum(int(np.prod(shape)) for name, shape in variables.items() if not name.startswith("_CHECKPOINTABLE"))


def test_weights_are_stored_once_and_nothing_else(joint) -> None:
    """As many floats as networks and statistics have; no optimizer, no noise generator, nothing twice."""
    bundle = joint.bundle
    n_features = 80 + bundle.config.face.n_facial
    sizes = {
        "conversion": bundle.conversion_net,
        "image": bundle.generator,
        "wavenet": bundle.sampler.model,
    }
    floats = {
        name: sum(int(np.prod(w.shape)) for w in net.weights if w.dtype == "float32") for name, net in sizes.items()
    }
    floats["end_to_end"] = floats["conversion"] + floats["image"]
    for name, n in floats.items():
        more = 147_000 + 2 * 80 * 1025 + 2 * 3 * 513 if name == "wavenet" else 0  # pitch, mel bands, resampler
        assert n < stored_floats(joint.out / name / "1") <= n + 4 * n_features + 1.05 * more, name


@pytest.mark.slow
@pytest.mark.parametrize("model", ["conversion", "image", "wavenet", "end_to_end"])
def test_the_wheels_command(joint, cases, model: str, tmp_path) -> None:
    command = shutil.which("saved_model_cli", path=str(Path(sys.executable).parent))
    assert command, "saved_model_cli comes with TensorFlow"
    folder = str(joint.out / model / "1")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, command, *arguments], capture_output=True, text=True, env=BARE, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    shown = run("show", "--dir", folder, "--all")
    for owner, signature in SIGNATURES:
        if owner != model:
            continue
        assert f"signature_def['{signature}']" in shown
        case = cases[model, signature]
        inputs = [p.name.removesuffix(".npy") for p in case.glob("*.npy") if p.name.count(".") == 1]
        assert all(f"inputs['{name}'] tensor_info" in shown for name in inputs)
        given = ";".join(f"{name}={case / name}.npy" for name in inputs)
        out = tmp_path / signature
        asked = ("--tag_set", "serve", "--signature_def", signature, "--inputs", given, "--outdir", str(out))
        run("run", "--dir", folder, *asked)
        for path in out.glob("*.npy"):
            shutil.copy(path, case / f"{path.stem}.cli.npy")
        assert_same_outputs(case, "cli")
