"""A rater's way through the test in a real browser: clicks and keys as a person's, over a socket, to the database."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: the rater's page is not tested")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


class Rater:
    """A person before the page: sees what is shown, plays, answers."""

    def __init__(self, browser: Any, url: str, **how: Any) -> None:
        self.context = browser.new_context(**how)
        self.context.set_default_timeout(40_000)  # clips play in real time, on a machine that may be busy
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def begin(self) -> None:
        self.page.get_by_role("button", name="I agree").click()
        self.page.get_by_role("heading", level=1).first.wait_for()
        self.page.locator(".card").first.wait_for()

    def where(self) -> str:
        return self.page.locator("#where").inner_text()

    def cards(self) -> list[Any]:
        return self.page.locator(".card").all()

    def play_all(self, card: Any) -> None:
        for button in card.locator("button.play").all():
            button.click()
            button.and_(self.page.locator(".whole")).wait_for()

    def answer(self, card: Any, value: int) -> None:
        self.play_all(card)
        card.locator(f"label:has(input[value='{value}'])").click()

    def do_page(self, value: int = 2) -> None:
        for card in self.cards():
            self.answer(card, value)
        self.saved()
        self.page.locator("#next").click()

    def saved(self) -> None:
        self.page.get_by_text("All answers saved").wait_for()

    def chosen(self) -> dict[str, str]:
        return {i.get_attribute("name"): i.input_value() for i in self.page.locator("input:checked").all()}


@pytest.fixture
def raters(browser: Any, served: Any) -> Iterator[Any]:
    """Makes raters of the running server; none may have seen a script error."""
    made: list[Rater] = []

    def make(**how: Any) -> Rater:
        made.append(Rater(browser, served.url, **(how or DESKTOP)))
        return made[-1]

    yield make
    for rater in made:
        rater.context.close()
        assert not rater.errors


def answers_in(db: Path) -> dict[str, dict[tuple[int, str], int]]:
    """By rater's code, what the database holds."""
    with sqlite3.connect(db) as connection:
        rows = connection.execute(
            "SELECT code, position, question, value FROM answers JOIN raters USING (rater)"
        ).fetchall()
    connection.close()
    found: dict[str, dict[tuple[int, str], int]] = {}
    for code, position, question, value in rows:
        found.setdefault(code, {})[position, question] = value
    return found


@pytest.mark.alone
@pytest.mark.slow  # half a minute of clips, played in full
def test_whole_way_with_a_reload(raters: Any, served: Any) -> None:
    """A rater answers half of a page, reloads, goes on, and gets the code; the database holds every answer."""
    rater = raters()
    rater.begin()
    assert rater.where() == "Page 1 of 3"
    first = rater.cards()[0]
    assert first.locator("input").first.is_disabled()  # not before the clip was played
    rater.answer(first, 2)
    rater.answer(rater.cards()[1], 3)
    rater.saved()
    before = rater.chosen()
    assert sorted(before.values()) == ["2", "3"]
    rater.page.reload()
    rater.page.locator(".card").first.wait_for()
    assert rater.where() == "Page 1 of 3" and rater.chosen() == before
    for card in rater.cards()[2:]:
        rater.answer(card, 1)
    rater.page.locator("#next").click()
    rater.do_page()
    rater.page.reload()
    rater.page.locator(".card").first.wait_for()
    assert rater.where() == "Page 3 of 3"
    rater.do_page()
    rater.page.get_by_role("heading", name="Thank you").wait_for()
    code = rater.page.locator("#code").inner_text()
    (found,) = answers_in(served.db).items()
    assert found[0] == code
    assert {question: str(found[1][1, question]) for question in before} == before
    assert {position for position, _ in found[1]} == {1, 2, 3}


def test_two_raters_at_once(raters: Any, served: Any) -> None:
    """On a desktop and on a phone; neither page scrolls sideways, and the answers are kept apart."""
    desktop, phone = raters(**DESKTOP), raters(**PHONE)
    for rater in (desktop, phone):
        rater.begin()
    for _ in range(2):
        for rater, value in ((desktop, 1), (phone, 2)):
            card = next(card for card in rater.cards() if not card.locator("input:checked").count())
            rater.answer(card, value)
            width = rater.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert width[0] <= width[1]
    for rater in (desktop, phone):
        rater.saved()
    assert phone.page.evaluate("innerWidth") == 390
    found = sorted(sorted(values.values()) for values in answers_in(served.db).values())
    assert found == [[1, 1], [2, 2]]
    small = phone.page.locator("button:visible, .scale label:visible").all()
    sizes = [box for box in (node.bounding_box() for node in small) if box]
    assert min(box["height"] for box in sizes) >= 44 and len(sizes) > 5  # fingers
    desktop.page.get_by_role("button", name="Stop here").click()
    desktop.page.get_by_text("You have done").wait_for()
    desktop.page.get_by_role("button", name="Go on with the test").click()
    assert desktop.where() == "Page 1 of 3"


def test_keyboard_alone(raters: Any, served: Any) -> None:
    """Tab and Enter start, Space plays what is next, digits answer, Enter goes on; too early a digit does nothing."""
    rater = raters()
    keys, page = rater.page.keyboard, rater.page
    keys.press("Tab")
    keys.press("Enter")
    page.locator(".card").first.wait_for()
    n_cards = page.locator(".card").count()
    for number in range(n_cards):
        card = page.locator(".card").nth(number)
        assert card.evaluate("node => node === document.activeElement")
        keys.press("2")
        assert not card.locator("input:checked").count()
        for clip in range(card.locator("button.play").count()):
            keys.press(" ")
            page.wait_for_function(
                "([card, n]) => document.querySelectorAll('.card')[card].querySelectorAll('.whole').length === n",
                arg=[number, clip + 1],
            )
        keys.press("2")
        assert card.locator("input:checked").input_value() == "2"
    assert page.locator("#next").evaluate("node => node === document.activeElement")
    rater.saved()
    keys.press("Enter")
    assert rater.where() == "Page 2 of 3"
    (values,) = answers_in(served.db).values()
    assert set(values.values()) == {2} and len(values) == n_cards


def test_server_away_for_a_while(raters: Any, served: Any) -> None:
    """Answers given while the server is down wait in the browser, and arrive later."""
    rater = raters()
    rater.begin()
    cards = rater.cards()
    for card in cards[:2]:
        rater.play_all(card)
    served.kill()
    for card in cards[:2]:
        card.locator("label").nth(1).click()
        rater.page.get_by_text("No connection").wait_for()
    assert len(rater.chosen()) == 2 and answers_in(served.db) == {}
    served.start()
    rater.saved()
    (values,) = answers_in(served.db).values()
    assert {question: str(value) for (_, question), value in values.items()} == rater.chosen()


def test_reload_before_an_answer_has_arrived(raters: Any, served: Any) -> None:
    """Posts fail, the page is loaded again: what was answered is shown still, and sent once it can be."""
    rater = raters()
    rater.begin()
    rater.page.route("**/answers", lambda route: route.abort())
    rater.answer(rater.cards()[0], 2)
    rater.page.get_by_text("No connection").wait_for()
    before = rater.chosen()
    rater.page.reload()
    rater.page.locator(".card").first.wait_for()
    assert rater.chosen() == before and list(before.values()) == ["2"] and answers_in(served.db) == {}
    rater.page.unroute("**/answers")
    rater.saved()
    (values,) = answers_in(served.db).values()
    assert list(values.values()) == [2]


def test_incomplete_page_does_not_end(raters: Any) -> None:
    rater = raters()
    rater.begin()
    n_cards = len(rater.cards())
    rater.page.locator("#next").click()
    rater.page.get_by_text(f"{n_cards} questions are still open.").wait_for()
    assert rater.where() == "Page 1 of 3"


def test_clip_cannot_be_skipped_to_its_end(raters: Any) -> None:
    """`ended` alone does not open the question: the clip must have been played."""
    rater = raters()
    rater.begin()
    card = rater.cards()[0]
    media = card.locator("audio, video").first
    media.evaluate(
        """async m => {
            if (!m.duration) await new Promise(done => { m.onloadedmetadata = done; });
            const ended = new Promise(done => { m.onended = done; });
            m.currentTime = m.duration - 0.05;
            m.play();
            await ended;
        }"""
    )
    assert card.locator("input").first.is_disabled()
    rater.play_all(card)
    assert card.locator("input").first.is_enabled()


def test_another_database_starts_anew(raters: Any, served: Any) -> None:
    """A rater the server does not know (a new database) is asked again, not stuck."""
    rater = raters()
    rater.begin()
    served.kill()
    for file in served.db.parent.glob("answers.sqlite*"):
        file.unlink()
    served.start()
    rater.page.reload()
    rater.page.get_by_role("button", name="I agree").wait_for()
