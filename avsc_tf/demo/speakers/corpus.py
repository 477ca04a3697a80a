"""The demo corpus on disk: two speakers, seven emotions, parallel sentences with different timing.

A clip is made from seeds that name it (corpus seed, speaker, emotion, sentence, take) and from nothing else, so a
corpus can be stopped, continued and enlarged without changing a clip that is already there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from avsc_tf.core.consent import Consent, write_consent
from avsc_tf.core.errors import ConfigError
from avsc_tf.core.files import claim_folder, write_atomically
from avsc_tf.core.runs import consent_path
from avsc_tf.demo.speakers.english import english_phones, grid_sentence
from avsc_tf.demo.speakers.face import FacePainter
from avsc_tf.demo.speakers.looks import EXPRESSIONS, LOOKS
from avsc_tf.demo.speakers.motion import face_poses
from avsc_tf.demo.speakers.phones import PAUSE, Phone, TimedPhone
from avsc_tf.demo.speakers.prosody import stretch, time_phones
from avsc_tf.demo.speakers.sentences import demo_sentences, romaji_phones
from avsc_tf.demo.speakers.speech import Speech, synthesize_timed
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES
from avsc_tf.media.mux import write_video

FPS = 25
SAMPLE_RATE_HZ = 48000
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FPS
SPEAKERS = ("source", "target")
SECOND_TAKE_DIR_NAME = "second_take"
MANIFEST_NAME = "manifest.csv"
MANIFEST_COLUMNS = ("utterance", "speaker", "emotion", "sentence", "split", "video", "audio")
PHONES_SUFFIX = ".phones.csv"  # true phone times beside NAME.mp4
F0_SUFFIX = ".f0.txt"  # true F0 in Hz at each 5 ms, 0 where unvoiced
SETTINGS_NAME = "corpus.json"
CORPUS_VERSION = 1  # raise it when the same seeds give other clips
GRID_CLIP_SECONDS = 3.0
CONSENT = Consent(
    who="the target speaker of the demo: drawn and spoken by a program, no living person",
    what_for=("demonstration, teaching, tests and research",),
    given_by="the makers of avsc_tf",
)


@dataclass(frozen=True)
class Clip:
    """One clip to be made."""

    name: str
    folder: str  # of the corpus; also says which take
    speaker: str
    emotion: str
    sentence: str
    split: str
    phones: list[Phone]
    seeds: tuple[int, ...]
    length_s: float | None = None  # None: as long as the speech

    @property
    def manifest_row(self) -> dict[str, str]:
        values = (self.name, self.speaker, self.emotion, self.sentence, self.split, f"{self.name}.mp4", "")
        return dict(zip(MANIFEST_COLUMNS, values, strict=True))


def make_corpus(
    out_dir: Path | str,
    *,
    emotions: Sequence[str] = tuple(EMOTIONS),
    sentences_per_emotion: int = 12,
    held_out_per_emotion: int = 2,
    seed: int = 0,
    size_px: int = 256,
    progress: bool = True,
) -> None:
    """Write `source/`, `target/` and `second_take/`, each with clips, phone times, pitch and a manifest.

    The target's folder holds her consent record. `second_take` holds her held-out sentences once more with other
    timing, motion and noise: how far one person is from herself. The first `held_out_per_emotion` sentences of each
    emotion are held out, so that they stay the same when the corpus grows. Clips that are already whole are kept.

    Raises:
        ConfigError: numbers that make no corpus, or a folder made with other settings.
    """
    if not 0 < held_out_per_emotion < sentences_per_emotion:
        raise ConfigError(
            f"{sentences_per_emotion} sentences an emotion, {held_out_per_emotion} of them held out: "
            "hold out at least one and leave at least one to train"
        )
    unknown = [name for name in emotions if name not in EMOTIONS]
    if unknown or not emotions:
        raise ConfigError(f"demo emotions: {unknown or 'none'}; known are {', '.join(EMOTIONS)}")
    out_dir = Path(out_dir)
    _check_settings(out_dir, {"kind": "demo", "version": CORPUS_VERSION, "seed": seed, "size_px": size_px})
    write_consent(consent_path(out_dir / "target"), CONSENT)
    clips = _demo_clips(emotions, sentences_per_emotion, held_out_per_emotion, seed)
    _make_clips(out_dir, clips, size_px=size_px, progress=progress)


def _demo_clips(
    emotions: Sequence[str], sentences_per_emotion: int, held_out_per_emotion: int, seed: int
) -> list[Clip]:
    sentences = demo_sentences(sentences_per_emotion, seed=seed)
    clips = []
    for take, (folder, speaker) in enumerate([*zip(SPEAKERS, SPEAKERS, strict=True), (SECOND_TAKE_DIR_NAME, "target")]):
        for emotion_number, emotion in enumerate(EMOTIONS):
            if emotion not in emotions:
                continue
            for number, text in enumerate(sentences[emotion]):
                split = "test" if number < held_out_per_emotion else "train"
                if folder == SECOND_TAKE_DIR_NAME and split == "train":
                    continue
                seeds = (seed, take, emotion_number, number)
                name = f"{emotion}_{number:02d}"
                clips.append(Clip(name, folder, speaker, emotion, text, split, romaji_phones(text), seeds))
    return clips


def make_grid_corpus(
    out_dir: Path | str,
    names: Sequence[str],
    *,
    held_out: int = 20,
    seed: int = 0,
    size_px: int = 256,
    progress: bool = True,
) -> None:
    """The source speaker says the GRID sentences behind `names` (such as `bbaf2n`), 3 s a clip, in `out_dir` itself.

    Speech begins and ends about where GRID speakers do. `held_out` of the names (a fifth at most), chosen by a digest
    of the name, are the test split.

    Raises:
        ConfigError: no names, a name that is no GRID sentence, or a folder made with other settings.
    """
    if not names:
        raise ConfigError(f"{out_dir}: no GRID names are given; name a folder of GRID clips such as bbaf2n.mpg")
    out_dir = Path(out_dir)
    clips = _grid_clips(names, held_out, seed)
    _check_settings(out_dir, {"kind": "grid", "version": CORPUS_VERSION, "seed": seed, "size_px": size_px})
    _make_clips(out_dir, clips, size_px=size_px, progress=progress)


def _grid_clips(names: Sequence[str], held_out: int, seed: int) -> list[Clip]:
    by_digest = sorted(set(names), key=_digest)
    tests = set(by_digest[: min(held_out, len(by_digest) // 5)])
    clips = []
    for name in sorted(set(names)):
        text = grid_sentence(name)
        split = "test" if name in tests else "train"
        seeds = (seed, 3, int(_digest(name)[:8], 16))
        phones = english_phones(text)
        clips.append(Clip(name, ".", "source", "neutral", text, split, phones, seeds, GRID_CLIP_SECONDS))
    return clips


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _check_settings(out_dir: Path, settings: dict[str, object]) -> None:
    """Clips of two settings never share a folder, and no clips one with other things."""
    path = out_dir / SETTINGS_NAME
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != settings:
            raise ConfigError(f"{path}: the folder holds a corpus of {found}, not {settings}; choose another folder")
        return
    claim_folder(out_dir, ())
    write_atomically(path, json.dumps(settings) + "\n")


def _make_clips(out_dir: Path, clips: list[Clip], *, size_px: int, progress: bool) -> None:
    painters = {name: FacePainter(LOOKS[name], size_px=size_px) for name in {clip.speaker for clip in clips}}
    missing = [clip for clip in clips if not (out_dir / clip.folder / f"{clip.name}.mp4").is_file()]
    done = len(clips) - len(missing)
    for clip in tqdm(missing, total=len(clips), initial=done, desc="corpus", unit="clip", disable=not progress):
        _make_clip(out_dir / clip.folder, clip, painters[clip.speaker])
    for folder in {clip.folder for clip in clips}:
        _write_manifest(out_dir / folder, [clip for clip in clips if clip.folder == folder])


def _make_clip(folder: Path, clip: Clip, painter: FacePainter) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    speech = _speak(clip)
    n_frames = len(speech.waveform) // SAMPLES_PER_FRAME
    expression = EXPRESSIONS[clip.emotion]
    rng = np.random.default_rng([*clip.seeds, 2])
    poses = face_poses(speech.phones, expression, n_frames=n_frames, fps=FPS, rng=rng)
    _write_phones(folder / f"{clip.name}{PHONES_SUFFIX}", speech.phones)
    write_atomically(folder / f"{clip.name}{F0_SUFFIX}", "".join(f"{f0:.2f}\n" for f0 in speech.f0_hz))
    write_video(  # last: its presence says that the clip is whole
        folder / f"{clip.name}.mp4",
        (painter.render(pose, expression) for pose in poses),
        speech.waveform,
        fps=FPS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        audio_codec="alac",
    )


def _speak(clip: Clip) -> Speech:
    """The clip's speech, its last pause lengthened to a whole number of video frames."""
    rng = np.random.default_rng([*clip.seeds, 1])
    voice, emotion = VOICES[clip.speaker], EMOTIONS[clip.emotion]
    timed = time_phones(clip.phones, voice, emotion, rng=rng)
    if clip.length_s is not None:
        timed = _in_grid_window(timed, clip.length_s, rng)
    n_frames = int(np.ceil(timed[-1].end_s * FPS - 1e-6))
    timed[-1] = TimedPhone(timed[-1].symbol, timed[-1].start_s, n_frames / FPS)
    return synthesize_timed(clip.phones, timed, voice, emotion, rng=rng, sample_rate_hz=SAMPLE_RATE_HZ)


def _in_grid_window(timed: list[TimedPhone], length_s: float, rng: np.random.Generator) -> list[TimedPhone]:
    """Speech from about 0.55 s, 1.45 s long, with the spread seen in GRID's word timings."""
    start_s = float(np.clip(rng.normal(0.55, 0.10), 0.30, 0.80))
    spoken_s = float(np.clip(rng.normal(1.45, 0.14), 1.15, 1.80))
    spoken = stretch(timed, start_s=start_s, end_s=start_s + spoken_s)
    return [*spoken, TimedPhone(PAUSE, start_s + spoken_s, length_s)]


def _write_phones(path: Path, phones: list[TimedPhone]) -> None:
    rows = "".join(f"{phone.start_s:.6f},{phone.end_s:.6f},{phone.symbol}\n" for phone in phones)
    write_atomically(path, "start_s,end_s,phone\n" + rows)


def read_phones(path: Path | str) -> list[TimedPhone]:
    """True phone times as `NAME.phones.csv` holds them."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return [TimedPhone(row["phone"], float(row["start_s"]), float(row["end_s"])) for row in csv.DictReader(file)]


def _write_manifest(folder: Path, clips: list[Clip]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, MANIFEST_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(clip.manifest_row for clip in clips)
    write_atomically(folder / MANIFEST_NAME, text.getvalue())
