"""Answer a study in a browser by keyboard alone: nothing fetched or lost, no serious fault of access, right scores.

Not part of the plain suite, since it wants playwright, Chromium and axe-core: make test-study.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from multimodal_vae.study.key import PAGE, read_study
from multimodal_vae.study.scoring import score_study

if TYPE_CHECKING:
    from playwright.sync_api import Page

VIEWS = {
    "wide": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "narrow": {"viewport": {"width": 390, "height": 780}, "color_scheme": "light", "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "narrow-dark": {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark", "has_touch": True},
}


def listen(page: Page, faults: list[str]) -> None:
    """Note errors and requests of a page."""
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:", "blob:")) else faults.append(f"asks for {request.url}")
        ),
    )


def faults_of_view(page: Page, axe: str, shown: str) -> list[str]:
    """Return the faults of access of what a page shows, and whether it is wider than its window."""
    page.evaluate(axe)
    faults = [
        f"{shown}: axe: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in page.evaluate("axe.run().then(found => found.violations)")
        if each["impact"] in ("serious", "critical")
    ]
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return faults + ([f"{shown}: the page is {wider} pixels wider than its window"] if wider > 0 else [])


def look_at(page: Page, folder: Path, axe: str, out: Path, view: str) -> list[str]:
    """Return the faults of the start and of a question in one view; leave screenshots."""
    faults: list[str] = []
    listen(page, faults)
    page.goto((folder / PAGE).resolve().as_uri())
    faults += faults_of_view(page, axe, "start")
    page.screenshot(path=out / f"{view}-start.png", full_page=True)
    page.locator("#begin").click()
    faults += faults_of_view(page, axe, "question")
    page.screenshot(path=out / f"{view}-question.png", full_page=True)
    if page.locator("#lesson").count():  # it teaches
        for name in ("answer", "confidence"):
            page.locator(f"input[name={name}]").first.check()
        page.locator("#next").click()
        faults += faults_of_view(page, axe, "lesson")
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


def main() -> int:
    """Check a study, and leave screenshots."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path, help="folder that mmvae study make wrote")
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of axe-core")
    parser.add_argument("--out", type=Path, required=True, help="folder for screenshots and answers")
    parser.add_argument(
        "--chromium", default=shutil.which("chromium"), help="browser; playwright's where there is none"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    axe, faults = given.axe.read_text("utf-8"), []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        for name, view in VIEWS.items():
            context = browser.new_context(**view, offline=True)
            faults += [f"{name}: {each}" for each in look_at(context.new_page(), given.study, axe, given.out, name)]
            context.close()
        context = browser.new_context(offline=True, accept_downloads=True)
        faults += [f"answering: {each}" for each in answer_all(context.new_page(), given.study, given.out)]
        browser.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{given.study}: {len(VIEWS)} views, {len(faults)} faults; screenshots in {given.out}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
