"""No sentence on both sides, and the same side on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsc_tf.core.errors import AlignmentError, RecordError
from avsc_tf.corpus.plan import make_plan
from avsc_tf.corpus.splits import assign_splits, digest_split, sentence_key
from avsc_tf.media.clips import ClipSource


def clip(utterance: str, sentence: str, split: str = "") -> ClipSource:
    return ClipSource(utterance, "A", "", sentence, split, Path(f"{utterance}.mp4"), None)


def test_known_sentences_fall_where_they_always_did():
    """Pinned: another digest would move sentences of prepared corpora across the border."""
    sides = {text: digest_split(text, test_share=0.5) for text in ("kyouwa ame", "ashita", "yuube", "bin blue")}
    assert sides == {"kyouwa ame": "test", "ashita": "train", "yuube": "train", "bin blue": "train"}


def test_share_is_kept():
    tests = sum(digest_split(f"sentence {k}", test_share=0.1) == "test" for k in range(5000))
    assert 420 < tests < 580  # 500 +- 4 standard deviations of a binomial (21)


def test_larger_share_only_adds_test_sentences():
    texts = [f"sentence {k}" for k in range(300)]
    small = {t for t in texts if digest_split(t, test_share=0.1) == "test"}
    large = {t for t in texts if digest_split(t, test_share=0.4) == "test"}
    assert small < large


def test_writing_differences_do_not_split_a_sentence():
    assert sentence_key("  Bin  blue\tAT f ") == sentence_key("bin blue at f")
    splits = assign_splits([clip("a", "Bin blue"), clip("b", "bin  BLUE")], test_share=0.5)
    assert len(splits) == 1


def test_manifest_wins_for_every_clip_of_its_sentence():
    for split in ("train", "test"):
        splits = assign_splits([clip("a", "ame"), clip("b", "ame", split), clip("c", "yuki")], test_share=0.5)
        assert splits["ame"] == split


def test_contradicting_manifests_are_refused():
    with pytest.raises(RecordError, match=r"b\.mp4: its sentence 'ame' is in test, but in train for a\.mp4"):
        assign_splits([clip("a", "ame", "train"), clip("b", "ame", "test")], test_share=0.5)


def write_folder(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    folder.mkdir()
    lines = ["utterance,sentence,split,video"]
    for utterance, sentence, split in rows:
        (folder / f"{utterance}.mp4").write_bytes(b"not read by a plan")
        lines.append(f"{utterance},{sentence},{split},{utterance}.mp4")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_plan_pairs_by_name_and_keeps_the_unpaired(tmp_path):
    source = write_folder(tmp_path / "a", [("u1", "ame", "train"), ("u2", "yuki", "test"), ("u4", "kaze", "train")])
    target = write_folder(tmp_path / "b", [("u1", "ame", ""), ("u2", "yuki", ""), ("u3", "tsuki", "test")])
    plan = make_plan(source, target, test_share=0.5)
    assert plan.pairs == ["u1", "u2"]
    assert set(plan.clips["source"]) == {"u1", "u2", "u4"}
    assert set(plan.clips["target"]) == {"u1", "u2", "u3"}
    assert plan.split_of(plan.clips["target"]["u2"]) == "test"  # the source's manifest speaks for the sentence


def test_sentence_named_by_one_speaker_holds_for_the_pair(tmp_path):
    source = write_folder(tmp_path / "a", [("bbaf2n", "bin blue at f two now", "test")])
    target = tmp_path / "b"
    target.mkdir()
    (target / "bbaf2n.mpg").write_bytes(b"")
    plan = make_plan(source, target, test_share=0.0001)
    assert plan.clips["target"]["bbaf2n"].sentence == "bin blue at f two now"
    assert plan.split_of(plan.clips["target"]["bbaf2n"]) == "test"


def test_folders_without_a_pair_are_refused(tmp_path):
    source = write_folder(tmp_path / "a", [("u1", "ame", "")])
    target = write_folder(tmp_path / "b", [("u2", "ame", "")])
    with pytest.raises(AlignmentError, match=r"no clip of one has its name in the other \(for example u1 and u2\)"):
        make_plan(source, target, test_share=0.5)


def test_pair_of_other_sentences_is_refused(tmp_path):
    source = write_folder(tmp_path / "a", [("u1", "ame", "")])
    target = write_folder(tmp_path / "b", [("u1", "yuki", "")])
    with pytest.raises(AlignmentError, match="u1: the source says 'ame', the target 'yuki'"):
        make_plan(source, target, test_share=0.5)
