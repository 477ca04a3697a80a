"""Files as conversions write them, and what is left of them after others had them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import pytest

from avsc_tf.core.errors import MediaError, ProvenanceError
from avsc_tf.media.audio import read_audio
from avsc_tf.media.mux import write_sound, write_video
from avsc_tf.provenance import identity as identities
from avsc_tf.provenance.code import payload_of
from avsc_tf.provenance.credentials import ASSERTION, TRAINED, read_credentials
from avsc_tf.provenance.findings import as_text, exit_code
from avsc_tf.provenance.identity import own_identity, own_root
from avsc_tf.provenance.marking import Provenance
from avsc_tf.provenance.verify import EXIT_CONTRADICTION, EXIT_FOUND, EXIT_NOTHING, verify

from .conftest import BUNDLE, FPS, RATE_HZ, ROOT, make_file, moving_pictures, speech_like


def test_a_signed_video_says_what_it_is(signed_video) -> None:
    finding = verify(signed_video, trusted=own_root())
    credentials = finding.credentials
    assert credentials.state == "trusted" and credentials.problems == () and credentials.trained_media
    assert credentials.generator.startswith("avsc_tf ") and "one computer" in credentials.signer
    assert credentials.conversion == {
        "bundle": BUNDLE,
        "seed": 7,
        "vocoder": "wavenet",
        "consents": [{"who": "Mary Example"}],
    }
    for found in (finding.sound, finding.picture):
        assert found is not None and found.is_of(payload_of(BUNDLE))
    assert finding.contradictions == [] and finding.exit_code == EXIT_FOUND
    assert ASSERTION.encode() in signed_video.read_bytes() and TRAINED.encode() in signed_video.read_bytes()


def test_without_its_root_the_signer_is_a_stranger(signed_video) -> None:
    finding = verify(signed_video)
    assert finding.credentials.state == "untrusted" and finding.exit_code == EXIT_FOUND
    assert "not on the list of trusted roots" in as_text(finding)
    assert "consents: who Mary Example" in as_text(finding)


@pytest.mark.parametrize("where", [0.3, 0.6, 0.95])
def test_a_changed_byte_is_reported(signed_video, tmp_path, where) -> None:
    content = bytearray(signed_video.read_bytes())
    start = content.index(b"mdat") + 8
    content[start + int(where * (len(content) - start))] ^= 1
    path = tmp_path / "changed.mp4"
    path.write_bytes(content)
    credentials = read_credentials(path, trusted=own_root())
    assert credentials.state == "tampered" and "assertion.bmffHash.mismatch" in credentials.problems


def test_a_changed_claim_is_reported(signed_video, tmp_path) -> None:
    path = tmp_path / "claim.mp4"
    path.write_bytes(signed_video.read_bytes().replace(b"Mary Example", b"John Example"))
    finding = verify(path, trusted=own_root())
    assert finding.credentials.state == "tampered" and finding.exit_code == EXIT_CONTRADICTION
    assert "TAMPERED" in as_text(finding) and "changed after it was signed" in as_text(finding)


def test_stripped_credentials_leave_the_marks(signed_video, tmp_path) -> None:
    """Packets copied into a new file, as sites do that drop what they do not know."""
    path = tmp_path / "copied.mp4"
    with av.open(str(signed_video)) as source, av.open(str(path), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    finding = verify(path)
    assert finding.credentials.state == "absent"
    assert finding.sound.found and finding.picture.found and finding.exit_code == EXIT_FOUND


def test_all_three_attacks_together_leave_the_marks(attacks, tmp_path, rng) -> None:
    clip = attacks.Clip(moving_pictures(75), speech_like(3.0, RATE_HZ), FPS, RATE_HZ)
    provenance = Provenance()
    clip = replace(
        clip,
        frames=list(provenance.marked_frames(clip.frames, BUNDLE)),
        waveform=provenance.marked_sound(clip.waveform, BUNDLE, sample_rate_hz=RATE_HZ),
    )
    after = attacks.all_together(clip)
    path = tmp_path / "after.mp4"
    write_video(path, after.frames, after.waveform, fps=FPS, sample_rate_hz=RATE_HZ)
    finding = verify(path)
    assert finding.sound.is_of(payload_of(BUNDLE)) and finding.picture.is_of(payload_of(BUNDLE))


def test_a_sound_alone_is_marked_and_signed(tmp_path) -> None:
    path = make_file(tmp_path / "voice.wav")
    finding = verify(path, trusted=own_root())
    assert finding.credentials.state == "trusted" and finding.picture is None and finding.sound.found
    assert len(read_audio(path, sample_rate_hz=RATE_HZ)) == 3 * RATE_HZ  # readers skip what they do not know


def test_a_silent_film_is_marked_and_signed(tmp_path) -> None:
    finding = verify(make_file(tmp_path / "film.mp4", has_sound=False), trusted=own_root())
    assert finding.credentials.state == "trusted" and finding.sound is None and finding.picture.found
    assert "there is none to look at" in as_text(finding)


def test_marks_of_two_bundles_contradict_each_other(tmp_path) -> None:
    finding = verify(make_file(tmp_path / "mixed.mp4", sound_bundle="sha256:other"))
    assert finding.exit_code == EXIT_CONTRADICTION
    assert finding.contradictions == [
        "sound and picture are marked by different bundles",
        "a mark is of another bundle than the credentials name",
    ]


def test_an_unmarked_file_holds_nothing(tmp_path) -> None:
    write_video(tmp_path / "a.mp4", moving_pictures(30), speech_like(1.2, RATE_HZ), fps=FPS, sample_rate_hz=RATE_HZ)
    finding = verify(tmp_path / "a.mp4")
    assert finding.exit_code == EXIT_NOTHING and finding.credentials.state == "absent"
    assert exit_code([finding]) == EXIT_NOTHING


def test_an_expired_certificate_is_named(tmp_path, monkeypatch) -> None:
    lives_seconds = 3  # certificates count whole seconds, and the file must be signed within them
    monkeypatch.setattr(identities, "VALID_DAYS", 1 + lives_seconds / 86_400)  # they begin a day ago
    short = own_identity(tmp_path / "keys")
    monkeypatch.setattr(Provenance, "identity", lambda self: short)
    path = make_file(tmp_path / "old.mp4", seconds=0.2)
    time.sleep(lives_seconds + 1)
    credentials = read_credentials(path, trusted=own_root(tmp_path / "keys"))
    assert credentials.state == "expired" and "valid no longer" in as_text(verify(path))
    with pytest.raises(ProvenanceError, match="cannot be signed as avsc_tf on one computer"):
        make_file(tmp_path / "new.mp4", seconds=0.2)


def test_a_certificate_that_does_not_suit_is_named(tmp_path) -> None:
    from .test_identity import ec, write_pair

    write_pair(tmp_path, ec.generate_private_key(ec.SECP256R1()))  # without the key usage that C2PA asks for
    provenance = Provenance(tmp_path / "certificate.pem", tmp_path / "key.pem")
    with pytest.raises(ProvenanceError, match=r"cannot be signed as a tester"):
        make_file(tmp_path / "never.mp4", seconds=0.4, provenance=provenance)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.pem", "key.pem"]


def test_a_real_certificate_signs(tmp_path) -> None:
    """A chain from elsewhere, by name."""
    other = own_identity(tmp_path / "elsewhere")
    (tmp_path / "chain.pem").write_text(other.certificates, encoding="utf-8")
    (tmp_path / "key.pem").write_text(other.private_key, encoding="utf-8")
    path = make_file(
        tmp_path / "a.mp4", seconds=0.4, provenance=Provenance(tmp_path / "chain.pem", tmp_path / "key.pem")
    )
    assert read_credentials(path, trusted=own_root()).state == "untrusted"
    assert read_credentials(path, trusted=own_root(tmp_path / "elsewhere")).state == "trusted"


def test_a_secret_key_hides_the_marks_from_others(tmp_path) -> None:
    path = make_file(tmp_path / "a.wav", provenance=Provenance(watermark_key="only ours"))
    assert not verify(path).sound.found and verify(path, key="only ours").sound.found


def test_neither_sound_nor_picture_is_an_error(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("not a recording", encoding="utf-8")
    with pytest.raises(MediaError, match=r"a.txt: cannot be decoded"):
        verify(tmp_path / "a.txt")


def test_credentials_cannot_write_to_the_terminal(signed_video) -> None:
    finding = verify(signed_video)
    evil = replace(finding.credentials, signer="a\x1b[2J\nb", conversion={"bundle\x07": "x" * 10_000})
    text = as_text(replace(finding, credentials=evil))
    assert "\x1b" not in text and "\x07" not in text and len(text) < 2000


def test_strangers_recordings_hold_nothing(shared_data) -> None:
    for path in [*sorted((shared_data / "grid" / "s1").glob("*.mpg"))[:2], next((shared_data / "vctk").glob("*.wav"))]:
        assert verify(path).exit_code == EXIT_NOTHING


def run_verify(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "verify.py"), *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)


def test_the_tool_and_its_exit_codes(signed_video, tmp_path) -> None:
    write_sound(tmp_path / "plain.wav", speech_like(1.0, RATE_HZ), sample_rate_hz=RATE_HZ)
    changed = tmp_path / "changed.mp4"
    shutil.copy(signed_video, changed)
    changed.write_bytes(changed.read_bytes().replace(b"Mary Example", b"John Example"))
    found = run_verify(signed_video)
    assert found.returncode == 0 and "which is trusted" in found.stdout and found.stdout.count("FOUND") == 2
    assert found.stdout.count("that of the credentials' bundle") == 2
    assert run_verify(signed_video, tmp_path / "plain.wav").returncode == 1
    both = run_verify(changed, tmp_path / "none.mp4", "--json")
    assert both.returncode == 2 and "none.mp4: no such file" in both.stderr and "Traceback" not in both.stderr
    report = json.loads(both.stdout)
    assert report["files"][0]["credentials"]["state"] == "tampered"
    assert report["files"][0]["picture_mark"]["found"] and list(report["errors"]) == [str(tmp_path / "none.mp4")]
    assert run_verify(changed).returncode == 3


def test_the_tool_takes_roots_and_secret_keys(signed_video, signing_folder, tmp_path) -> None:
    elsewhere = {"AVSC_TF_SIGNING_DIR": str(tmp_path / "none")}
    assert "not on the list" in run_verify(signed_video, **elsewhere).stdout
    trusting = run_verify(signed_video, "--trust", Path(signing_folder) / "root.pem", **elsewhere)
    assert "which is trusted" in trusting.stdout and not (tmp_path / "none").exists()
    assert "not found" in run_verify(signed_video, AVSC_TF_WATERMARK_KEY="another").stdout
