"""A person's way through the page in a real browser, against a service of its own with tiny networks."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: the service's page is not tested"),
    pytest.mark.slow,
    pytest.mark.alone,
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
ARGUMENTS += ["--disable-component-update", "--autoplay-policy=no-user-gesture-required"]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
STEP_SECONDS = 0.12  # source and result may be apart: three frames, seen by nobody


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; no script may fail, and nothing may be asked of another place."""
    contexts, errors, asked = [], [], []

    def go(url: str, **how: Any) -> Any:
        contexts.append(browser.new_context(**how))
        contexts[-1].set_default_timeout(120_000)  # conversions on a machine that may be busy
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()
    assert errors == [] and all(url.startswith(("http://127.0.0.1:", "blob:", "data:")) for url in asked)


def until(page: Any, condition: str, seconds: float = 120) -> None:
    """Playwright's own waiting uses `eval` in the page, which the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(30)


def test_from_clip_to_video(serve_tiny: Callable[..., Any], visit: Any, paint: Any, tmp_path: Path) -> None:
    """Send, see progress, reload, play both in step, hear the other, download, remove; then a clip that fails."""
    server = serve_tiny()
    path = paint(tmp_path / "my clip.mp4", seconds=2)
    page = visit(server.url)
    page.locator("#send").wait_for()
    page.set_input_files("#file", str(path))
    page.locator("#job").wait_for()
    assert page.locator("#job-title").inner_text() == "my clip.mp4"
    until(page, "document.getElementById('bar').value > 0.05 && location.hash.length > 20")
    page.reload()  # the address holds the job
    page.locator("#done").wait_for()
    until(page, "result.readyState >= 3 && source.readyState >= 3")
    assert page.evaluate("[source.muted, result.muted]") == [True, False]
    page.locator("#play").click()
    until(page, "result.currentTime > 0.5")
    times = page.evaluate("[source.currentTime, result.currentTime]")
    assert abs(times[0] - times[1]) < STEP_SECONDS
    page.locator("#play").press("Space")
    until(page, "result.paused && source.paused")
    page.locator("#seek").fill("1.5")
    until(page, "Math.abs(source.currentTime - 1.5) < 0.05 && Math.abs(result.currentTime - 1.5) < 0.05")
    page.get_by_label("the source", exact=False).first.check()
    assert page.evaluate("[source.muted, result.muted]") == [False, True]
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename.endswith(".mp4") and Path(download.value.path()).stat().st_size > 1000
    page.get_by_role("button", name="Remove from the server").click()
    page.locator("#send").wait_for()
    assert server.client.get("/v1/conversions").json() == {"conversions": []}
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(path.read_bytes()[:3000] + bytes(3000))
    page.set_input_files("#file", str(broken))
    page.locator("#message", has_text="could not be converted").wait_for()
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"words " * 40})
    page.locator("#message", has_text="This is no MP4").wait_for()


def test_phone_token_keyboard_and_cancel(
    serve_tiny: Callable[..., Any], visit: Any, paint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "t" * 30
    monkeypatch.setenv("AVSC_TF_TOKENS", f"anna sha256:{hashlib.sha256(token.encode()).hexdigest()}")
    server = serve_tiny()
    page = visit(server.url, **PHONE)
    page.locator("#token").wait_for()
    page.keyboard.type("wrong" * 6)
    page.keyboard.press("Enter")
    page.locator("#message", has_text="no valid token").wait_for()
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")
    page.locator("#send").wait_for()
    assert token not in page.content() and page.evaluate("document.cookie") == ""  # HttpOnly
    page.set_input_files("#file", str(paint(tmp_path / "long.mp4", seconds=6)))
    page.locator("#job").wait_for()
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    buttons = [box for node in page.locator("button:visible").all() if (box := node.bounding_box())]
    assert min(box["height"] for box in buttons if box["width"] > 90) >= 44  # fingers
    until(page, "location.hash.length > 20")
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    page.locator("#send").wait_for()
    page.get_by_role("button", name="long.mp4").locator("text=cancelled").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.locator("#token").wait_for()


def test_documentation(serve_tiny: Callable[..., Any], visit: Any) -> None:
    page = visit(serve_tiny().url + "docs")
    page.locator("details").first.wait_for()
    shown = page.locator("summary code").all_inner_texts()
    assert "POST /v1/conversions" in shown and "GET /v1/conversions/{job_id}/events" in shown and len(shown) >= 10
    page.locator("summary", has_text="POST /v1/conversions").click()
    assert "curl -X POST -F file=@clip.mp4" in page.locator("details[open]").inner_text()
