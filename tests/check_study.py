"""Answer a study in a browser by keyboard alone: nothing fetched or lost, no serious fault of access, right scores.

Not part of the plain suite, since it wants playwright, Chromium and axe-core: make test-study.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from browser import VIEWS, check, faults_of_view, listen
from multimodal_vae.study.key import PAGE, read_study
from multimodal_vae.study.scoring import score_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def look_at(page: Page, folder: Path, axe: str, out: Path, view: str) -> list[str]:
    """Return the faults of the start and of a question in one view; leave screenshots."""
    faults: list[str] = []
    listen(page, faults)
    page.goto((folder / PAGE).resolve().as_uri())
    faults += [f"start: {each}" for each in faults_of_view(page, axe)]
    page.screenshot(path=out / f"{view}-start.png", full_page=True)
    page.locator("#begin").click()
    faults += [f"question: {each}" for each in faults_of_view(page, axe)]
    page.screenshot(path=out / f"{view}-question.png", full_page=True)
    if page.locator("#lesson").count():  # it teaches
        for name in ("answer", "confidence"):
            page.locator(f"input[name={name}]").first.check()
        page.locator("#next").click()
        faults += [f"lesson: {each}" for each in faults_of_view(page, axe)]
        page.screenshot(path=out / f"{view}-lesson.png", full_page=True)
    return faults


def answer_all(page: Page, folder: Path, out: Path) -> list[str]:
    """Answer all items by keyboard, reload in the middle, and compare what is saved and its score with the answers."""
    study, faults = read_study(folder), list[str]()
    listen(page, faults)
    rng, expected, count = random.Random(0), dict[str, tuple[str, str]](), len(study.truth)
    steps = 2 if study.record["teach"] else 1
    page.goto((folder / PAGE).resolve().as_uri())
    page.locator("#reader").focus()
    page.keyboard.type("ab")
    page.keyboard.press("Enter")
    for number in range(1, count + 1):
        if number == count // 2:
            page.reload()
        if page.locator("#h-question").inner_text() != f"Sample {number} of {count}":
            faults.append(f"question {number} is headed {page.locator('#h-question').inner_text()!r}")
        item = page.locator("#question").get_attribute("data-item") or ""
        choice, confidence = rng.randrange(len(study.options)), rng.randint(1, 5)
        if item in expected:
            faults.append(f"item {item} is asked for twice")
        expected[item] = study.options[choice], str(confidence)
        page.keyboard.press("abcdefghijklmnopqrstuvwxyz"[choice])
        page.keyboard.press(str(confidence))
        for _ in range(steps):
            page.keyboard.press("Enter")
    with page.expect_download() as saving:
        page.locator("#save").focus()
        page.keyboard.press("Enter")
    page.screenshot(path=out / "end.png", full_page=True)
    path = out / saving.value.suggested_filename
    saving.value.save_as(path)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if path.name != "answers-ab.csv" or {row["item"]: (row["answer"], row["confidence"]) for row in rows} != expected:
        faults.append(f"{path} does not hold the answers that were given")
    scores, _ = score_study(folder, [path])
    by_hand = sum(expected[str(item)][0] == truth for item, truth in enumerate(study.truth, 1)) / count
    if abs(scores[0].value - by_hand) > 1e-12:
        faults.append(f"the accuracy is {scores[0].value}, but {by_hand} of the answers are right")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#clear").click()
    page.reload()
    if not page.locator("#begin").is_visible():
        faults.append("deleted answers are still there")
    return faults


def look(browser: Browser, folder: Path, axe: str, out: Path) -> list[str]:
    """Return the faults of a study in every view, and of answering it."""
    faults = []
    for name, view in VIEWS.items():
        context = browser.new_context(**view, offline=True)
        faults += [f"{name}: {each}" for each in look_at(context.new_page(), folder, axe, out, name)]
        context.close()
    context = browser.new_context(offline=True, accept_downloads=True)
    return faults + [f"answering: {each}" for each in answer_all(context.new_page(), folder, out)]


if __name__ == "__main__":
    sys.exit(check(__doc__ or "", "folder that mmvae study make wrote", look))
