"""What was found in files, in words, and how the tool ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avsc_tf.provenance.code import Detection, payload_of
from avsc_tf.provenance.credentials import Credentials
from avsc_tf.provenance.verify import EXIT_CONTRADICTION, EXIT_FOUND, EXIT_NOTHING, Finding

MAX_CHARACTERS = 300  # of what a stranger's file says
_STATES = {
    "trusted": "whole, signed by {signer}, which is trusted",
    "untrusted": "whole, signed by {signer}, which is not on the list of trusted roots",
    "expired": "whole, signed by {signer}, whose certificate is valid no longer (or not yet)",
    "tampered": "TAMPERED: the file is not what {signer} signed",
    "unreadable": "damaged: they cannot be read",
    "absent": "none",
}


def exit_code(findings: Sequence[Finding]) -> int:
    """Of many files: a contradiction outweighs a file with nothing in it, and that one with something in it."""
    codes = {finding.exit_code for finding in findings}
    return next(code for code in (EXIT_CONTRADICTION, EXIT_NOTHING, EXIT_FOUND) if code in codes or code == EXIT_FOUND)


def as_text(finding: Finding, bundle: str = "") -> str:
    """Some lines; `bundle` is a digest to compare the marks with."""
    lines = [str(finding.path), *_credentials_lines(finding.credentials)]
    for name, found in (("sound", finding.sound), ("picture", finding.picture)):
        lines.append(f"  mark in {name + ':':9}{_mark_text(found, finding.credentials.conversion, bundle)}")
    lines += [f"  CONTRADICTION: {text}" for text in finding.contradictions]
    return "\n".join(lines)


def report(findings: Sequence[Finding], errors: Mapping[Path, str], bundle: str) -> dict[str, Any]:
    """For `--json`."""
    rows = [finding.as_dict() for finding in findings]
    for row, finding in zip(rows, findings, strict=True):
        for name, mark in (("sound_mark", finding.sound), ("picture_mark", finding.picture)):
            if mark is not None and bundle:
                row[name]["is_of_bundle"] = mark.is_of(payload_of(bundle))
    return {"files": rows, "errors": {str(path): text for path, text in errors.items()}}


def _plain(value: object) -> str:
    """What a file says, cut, and without anything that moves a terminal's cursor."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + " ..."


def _credentials_lines(credentials: Credentials) -> list[str]:
    text = _STATES[credentials.state].format(signer=_plain(credentials.signer) or "an unnamed signer")
    because = f" ({', '.join(credentials.problems)})" if credentials.problems else ""
    lines = [f"  credentials:     {text}{because}"]
    if credentials.generator:
        made = ", made by a trained algorithm" if credentials.trained_media else ""
        lines.append(f"                   by {_plain(credentials.generator)}{made}")
    for name, value in credentials.conversion.items():
        lines.append(f"                   {_plain(name)}: {_plain(_in_words(value))}")
    return lines


def _in_words(value: object, depth: int = 3) -> str:
    """Lists and mappings without brackets; deeper ones as they are."""
    if depth and isinstance(value, Mapping):
        return "; ".join(f"{name} {_in_words(entry, depth - 1)}" for name, entry in sorted(value.items(), reverse=True))
    if depth and isinstance(value, list):
        return ", ".join(_in_words(entry, depth - 1) for entry in value)
    return str(value)


def _mark_text(found: Detection | None, conversion: Mapping[str, Any], bundle: str) -> str:
    if found is None:
        return "there is none to look at"
    chance = f"chance {found.false_alarm:.0e}" if found.false_alarm < 1 else "as chance has it"
    score = f"score {found.score:.1f}, {chance}"
    if not found.found:
        return f"not found ({score}; {found.seconds:.1f} s)"
    of = [
        f"that of {name}" if found.is_of(payload_of(digest)) else f"not that of {name}"
        for name, digest in (("the credentials' bundle", conversion.get("bundle")), ("the bundle named", bundle))
        if isinstance(digest, str) and digest
    ]
    place = f", {found.place}" if found.place else ""
    return f"FOUND, payload {found.payload:0{found.bits // 4}x}{''.join(f', {text}' for text in of)} ({score}{place})"
