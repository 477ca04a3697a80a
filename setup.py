"""Packaging of avsc_tf. Every bound has its reason beside it; `pip check` is clean with all of them."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

REQUIREMENTS = [
    # The last tensorflow-io (0.37.1) loads only beside TensorFlow 2.16 and 2.17.
    "tensorflow==2.17.1",
    "tensorflow-io==0.37.1",
    "keras>=3.12,<3.16",
    "tensorboard>=2.17,<2.18",
    "setuptools<82",  # TensorBoard 2.17 imports pkg_resources
    # mediapipe >= 0.10.30 ships no models and no mp.solutions.
    "mediapipe==0.10.21",
    "jax<0.5",  # unbounded in mediapipe: pip would look through gigabytes of jaxlib
    "jaxlib<0.5",
    "numpy>=1.26,<2",
    "protobuf>=4.25,<5",
    # opencv-python and mediapipe's opencv-contrib-python share files: one version of both.
    "opencv-python==4.11.0.86",
    "opencv-contrib-python==4.11.0.86",
    "librosa>=0.11,<0.12",
    "tslearn>=0.6.3,<0.11",
    "scikit-learn>=1.4,<1.8",
    "scipy>=1.11,<1.16",
    "numba>=0.60,<0.63",  # compiled WaveNet sampler
    "matplotlib>=3.8,<3.11",
    "av>=14,<16",  # PyAV: frames by presentation time, its wheel carries FFmpeg
    "soxr>=0.5,<2",  # resampling with aliases below -140 dB
    "pyloudnorm>=0.1.1,<0.3",  # loudness by ITU-R BS.1770 in the corpus report
    "soundfile>=0.12,<0.14",
    "PyYAML>=6,<7",
    "h5py>=3.10,<4",  # weights of a narrower WaveNet, layer by layer
    "joblib>=1.3,<2",  # cores this process may use, containers and affinity counted in
    "shtab>=1.7,<2",  # completion of the avsc command in bash and zsh
    "threadpoolctl>=3.1,<4",  # one thread of linear algebra, also in a process that has loaded it already
    "tqdm>=4.66,<5",
    "Jinja2>=3.1,<4",  # report.html
    "c2pa-python>=0.38,<0.39",  # Content Credentials: the reference implementation, in one wheel; its API still moves
    "cryptography>=42,<51",  # the local signing key and its certificate
]

EVALUATION = [
    "speechmos>=0.0.1.1,<0.1",  # DNSMOS with its models in the wheel
    "onnxruntime>=1.17,<1.24",
    "pystoi>=0.4.1,<0.5",  # STOI in pure Python
]

WEB = [
    "fastapi>=0.115,<1",  # checks every post against its type; 0.x may break between minor versions, so tests decide
    "uvicorn>=0.30,<1",
]

SERVING = [
    *WEB,
    "python-multipart>=0.0.18,<0.1",  # uploads of forms, read as a stream
    "prometheus-client>=0.20,<1",
]

EXPORT = [
    "tensorflow-serving-api==2.17.1",  # warm-up requests; of the same version as TensorFlow
]

LISTENING = [
    *WEB,
    "statsmodels>=0.14.4,<0.16",  # mixed-effects model of the ratings; 0.14.4 is the first for pandas 2.2.3 on
    "pandas>=2.2.3,<4",
]

IDENTITY = [  # in no other extra: 130 MB of weights; docs/metrics.md has the way without PyTorch
    "Resemblyzer==0.1.4",  # speaker encoder, its weights in the wheel; asks for torch, which is never loaded
    "webrtcvad>=2.0.10,<3",  # voice detection before it, as there
    "dlib-bin>=20,<21",  # face descriptors; dlib without a compiler
    "face_recognition_models==0.3.0",  # dlib's weights
]

RAY = [
    "ray[train,serve]>=2.60,<2.61",  # preparation, training, serving on many machines; resolves with the pins above
    "pyarrow>=17,<26",  # of Ray Train; 26 wants NumPy 2, and does not say so to pip
]

BENCHMARKS = [
    "torch>=2.6,<2.14",  # the peer that speed is compared with
    "pesq>=0.0.4,<0.1",  # what a watermark costs the sound; compiled on installation
]

DEVELOPMENT = [
    "pytest>=8,<9",
    "hypothesis>=6.100,<7",  # property tests over media formats and alignments
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.5,<4",  # the fast tests on two cores
    "playwright>=1.48,<2",  # drives the system's Chromium: its wheel brings the driver, no browser is downloaded
    "schemathesis>=4,<5",  # fuzzes the service by its own OpenAPI
    "ruff>=0.8,<0.15",
    "mypy>=1.11,<1.19",
    "types-PyYAML",
]

setup(
    name="avsc_tf",
    version="0.1.0",
    description="Audiovisual speaker conversion: voice and face together, in TensorFlow/Keras",
    packages=[*find_packages(include=["avsc_tf", "avsc_tf.*"]), "avsc_tf.configs"],
    package_dir={"avsc_tf.configs": "configs"},
    entry_points={"console_scripts": ["avsc = avsc_tf.cli:main"]},
    package_data={
        "avsc_tf.configs": ["*.yaml"],
        "avsc_tf": ["py.typed", "pretrained/*", "**/*.html", "**/*.css", "**/*.js"],
    },
    python_requires=">=3.11,<3.13",
    install_requires=REQUIREMENTS,
    extras_require={
        "evaluation": EVALUATION,
        "identity": IDENTITY,
        "serving": SERVING,
        "export": EXPORT,
        "listening": LISTENING,
        "ray": RAY,
        "benchmarks": BENCHMARKS,
        "dev": DEVELOPMENT + EVALUATION + LISTENING + SERVING + EXPORT + RAY,
    },
)
