"""report.json and report.html: whole, escaped, deterministic, and small enough for 700 pairs."""

# ruff: noqa: RUF001 (names in any script)

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.corpus.doctor import ClipCheck, PairCheck, judge
from avsc_tf.corpus.report import HTML_NAME, JSON_NAME, anchor, write_report
from avsc_tf.features.health import SoundHealth

VOID = {"meta", "br", "wbr", "input", "link", "img", "hr"}
HOSTILE = ["a<b> & \"c\" 'd'", "غاضب_٠٠١", "怒り 04", "</script><script>alert(1)</script>", "{{ 7*7 }}", "a%20b#c?d"]


class Page(HTMLParser):
    """Checks nesting; keeps ids, links, text, rows and anything that would be fetched."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.names: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.fetched += [
            v for k, v in attrs if k in ("src", "srcset", "action", "data") or (k == "href" and tag != "a")
        ]
        self.names += [given["data-v"]] if given.get("class") == "name" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data


FOLDER_NOTES = {"target": ("holds 1 entry that no clip uses: <take>.LRV",)}


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(Path(__file__).resolve().parents[2] / "configs/demo.yaml")


def made_corpus(names: list[str], *, n_frames: int = 90) -> tuple[list[ClipCheck], list[PairCheck]]:
    rng = np.random.default_rng(7)
    clips, pairs = [], []
    for i, name in enumerate(names):
        for speaker in ("source", "target"):
            sound = SoundHealth(
                n_frames / 25, -23 + rng.normal(), -3, -2.9, 0.01 if i % 9 == 4 else 0, 40, 1e-3, None, None, 0.2, 0.2
            )
            centres = rng.normal(300, 3, (100, 2))
            clips.append(
                ClipCheck(
                    speaker, name, f"{speaker}/{name}.mp4", n_frames / 25, n_frames, 1.0, (), 1, centres, 301.25,
                    (640, 480), sound, 0.0123456, 12.5, 0.8,
                )
            )  # fmt: skip
        source = np.sort(rng.integers(0, n_frames, 2 * n_frames))
        path = np.stack([source, np.sort(rng.integers(0, n_frames, 2 * n_frames))], axis=1).astype(np.int32)
        sentence, emotion, split = f"says {name}", ("anger", "neutral")[i % 2], ("test", "train")[i % 3 > 0]
        pairs.append(
            PairCheck(name, sentence, emotion, split, 1 + rng.normal() / 20, 0.8, 1.3, np.float32(0.5), True, path)
        )
    return clips, pairs


def written(folder: Path, clips: list[ClipCheck], pairs: list[PairCheck], config: Config) -> tuple[dict, str]:
    verdicts = judge(clips, pairs, config.doctor)
    counts = {"pairs-train": len(pairs)}
    write_report(folder, clips, pairs, verdicts, config=config, counts=counts, folder_notes=FOLDER_NOTES)
    assert sorted(path.name for path in folder.iterdir()) == sorted([JSON_NAME, HTML_NAME])  # nothing half left beside
    return json.loads((folder / JSON_NAME).read_text(encoding="utf-8")), (folder / HTML_NAME).read_text(
        encoding="utf-8"
    )


def test_names_of_any_script_are_escaped(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus(HOSTILE)
    clips[2] = ClipCheck("source", HOSTILE[1], "x.mp4", error="x<i>.mp4: no face & no sound. Record it again.")
    clips.append(replace(clips[0], utterance="alone <here>"))
    tree, text = written(tmp_path, clips, pairs, config)
    page = Page(text)
    assert sorted(page.names) == sorted([*HOSTILE, "alone <here>"])
    for name in HOSTILE:
        assert name in page.text and f"says {name}" in page.text
        assert f"#{anchor(name)}" in page.links and page.ids.count(anchor(name)) == 1
    assert "x<i>.mp4: no face & no sound" in page.text
    assert page.tags.count("script") == 1 and "i" not in page.ids
    assert "alert(1)</script>" not in text.replace("&lt;/script&gt;", "")
    assert {entry["utterance"] for entry in tree["utterances"]} == {*HOSTILE, "alone <here>"}


def test_page_is_self_contained(tmp_path: Path, config: Config) -> None:
    _, text = written(tmp_path, *made_corpus([f"u{i}" for i in range(7)]), config)
    page = Page(text)
    assert page.fetched == [] and "http" not in text and "@import" not in text and "url(" not in text
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_rows_and_drawings(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus([f"u{i}" for i in range(9)])
    tree, text = written(tmp_path, clips, pairs, config)
    assert text.count("<tr id=") == 9
    assert (
        text.count('class="path ok"') == 9
        and text.count('class="crop source ok"') == text.count('class="crop target ok"') == 9
    )
    assert text.count('class="strip"') == 5  # loudness and pauses of both, ratios
    lines = [np.array([p.split(",") for p in m.split()], float) for m in re.findall(r'points="([^"]+)"', text)]
    assert all(2 <= len(line) <= 48 for line in lines)
    assert all(line.min() >= 0 and line.max() <= 100 for line in lines)
    # The rows begin with the worst: u4 is clipped.
    assert re.search(r'<tr id="(\w+)"', text).group(1) == anchor("u4")  # type: ignore[union-attr]
    assert [entry["utterance"] for entry in tree["record_again"]] == ["u4"]
    assert tree["summary"]["record_again"] == 1 and tree["summary"]["ok"] == 8
    assert "Source speaker" not in text and "One of the two, or both" in text  # both takes of u4 are clipped


def test_path_is_drawn_from_corner_to_corner(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus(["u"])
    pairs = [replace(pairs[0], path=np.array([(0, 0), (1, 0), (2, 1), (10, 5)]))]
    _, text = written(tmp_path, clips, pairs, config)
    assert '<polyline points="0,100 10,100 20,80 100,0"/>' in text


def test_json_holds_the_measures(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus(["u"], n_frames=75)
    tree, _ = written(tmp_path, clips, pairs, config)
    assert tree["schema_version"] == 1 and tree["fingerprint"] == config.fingerprint
    assert tree["counts"] == {"pairs-train": 1} and tree["thresholds"]["look_snr_db"] == config.doctor.look_snr_db
    entry = tree["utterances"][0]
    assert entry["source"]["seconds"] == 3.0 and entry["source"]["sync_offset_seconds"] == 0.01235
    assert entry["target"]["crop_side_px"] == 301.2 and len(entry["target"]["crop_centres_px"]) == 100
    assert entry["pair"]["margin"] == 0.5 and entry["pair"]["is_pair"] is True
    assert entry["pair"]["path"][0] == pairs[0].path[0].tolist() and len(entry["pair"]["path"]) == 100
    assert entry["pair"]["path"][-1] == pairs[0].path[-1].tolist()


def test_notes_on_the_clip_folders(tmp_path: Path, config: Config) -> None:
    tree, page = written(tmp_path, *made_corpus(["one"]), config)
    assert tree["folders"] == {"source": [], "target": ["holds 1 entry that no clip uses: <take>.LRV"]}
    assert page.count("holds 1 entry that no clip uses: &lt;take&gt;.LRV") == 1


def test_numbers_that_are_none_or_not_finite(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus(["u", "v"])
    clips[0] = ClipCheck("source", "u", "u.mp4")
    pairs[0] = PairCheck("u", cost=float("nan"), path=np.zeros((0, 2), int))
    tree, text = written(tmp_path, clips, pairs, config)
    Page(text)
    assert tree["utterances"][0]["pair"]["cost"] is None and "nan" not in text


def test_empty_corpus(tmp_path: Path, config: Config) -> None:
    tree, text = written(tmp_path, [], [], config)
    assert "Nothing needs to be recorded again." in Page(text).text and tree["utterances"] == []


def test_same_measures_same_bytes(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus([f"u{i}" for i in range(11)])
    written(tmp_path / "a", clips, pairs, config)
    written(tmp_path / "b", clips[::-1], pairs[::-1], config)  # the order in which clips were finished does not matter
    for name in (JSON_NAME, HTML_NAME):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_seven_hundred_pairs(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus([f"anger_strong_{i:03d}" for i in range(700)])
    tree, text = written(tmp_path, clips, pairs, config)
    assert len(tree["utterances"]) == 700 and text.count("<tr id=") == 700
    assert (tmp_path / HTML_NAME).stat().st_size < 5e6 and (tmp_path / JSON_NAME).stat().st_size < 5e6


def test_what_is_wrong_is_marked_where_it_shows(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus([f"u{i}" for i in range(4)])
    clips[1] = replace(clips[1], crop_centres=np.array([(200.0, 240.0), (440.0, 240.0)]))
    clips[2] = replace(clips[2], face_share=0.95)
    pairs[3] = replace(pairs[3], is_pair=False, cost=1.4)
    _, text = written(tmp_path, clips, pairs, config)
    rows = {name: text.split(f'<tr id="{anchor(name)}"')[1].split("</tr>")[0] for name in ("u0", "u1", "u3")}
    assert 'class="crop target look"' in rows["u0"] and 'class="crop source ok"' in rows["u0"]
    assert '<span class="v s"><span class="look">95.0 %</span></span><span class="v t"><span>100 %' in rows["u1"]
    assert '<span class="record_again">1.400</span>' in rows["u3"]


def test_a_trace_of_clipping_is_not_none(tmp_path: Path, config: Config) -> None:
    clips, pairs = made_corpus(["u"])
    clips = [
        replace(c, sound=replace(c.sound, clipped_share=share)) for c, share in zip(clips, (3e-5, 0.0), strict=True)
    ]
    _, text = written(tmp_path, clips, pairs, config)
    assert "&lt; 0.01 %" in text and "none</span>" in text
