"""The rater's page: one HTML file with its styles and script inside, that asks nothing of any other place."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2

from avsc_tf.listening import checks
from avsc_tf.listening.design import Design
from avsc_tf.listening.plan import n_planned

SECONDS_A_QUESTION = 4.0
_SITE = Path(__file__).parent / "site"


def page_html(design: Design) -> str:
    """index.html of a test; nothing in it depends on a system, an utterance or a check's answer."""
    template = jinja2.Environment(autoescape=True).from_string((_SITE / "page.html").read_text(encoding="utf-8"))
    return template.render(
        title=design.title,
        settings=json.dumps({"test": design.test, "title": design.title}).replace("<", "\\u003c"),
        style=(_SITE / "page.css").read_text(encoding="utf-8"),
        script=(_SITE / "page.js").read_text(encoding="utf-8"),
        n_pages=sum(n_planned(design)),
        minutes=_minutes(design),
    )


def _minutes(design: Design) -> int:
    """What a rater needs for all pages: every clip played once, and `SECONDS_A_QUESTION`."""
    clip_seconds = sum(clip.seconds for clip in design.clips.values()) / len(design.clips)
    n_clips, n_checks = n_planned(design)
    n_compared = min(n_clips, len(design.by_utterance) * len(design.pairs))
    seconds = 3 * n_clips * (clip_seconds + SECONDS_A_QUESTION)
    seconds += 3 * n_compared * (3 * clip_seconds + SECONDS_A_QUESTION)
    seconds += 2 * n_checks * (checks.SECONDS + SECONDS_A_QUESTION)
    return max(1, round(seconds / 60))
