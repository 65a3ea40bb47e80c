"""`make pictures`: the README's picture of a chapter that is open in JupyterLab, as a student sees it while the mail is off."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from edakit.classroom.copies import make_copies
from tests.browser.lab import chromium, running_lab

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "chapter-00.png"
SIZE = {"width": 1300, "height": 900}


def picture(chapter):
    """Click, switch the mail off, click on; return what the window shows [PNG]."""
    chapter.page.set_viewport_size(SIZE)
    chapter.run_all()
    window = chapter.page.locator(".edakit-shop-window")
    for _ in range(3):
        window.get_by_role("button", name="Add to cart").click()
    window.get_by_role("switch", name="mail").click()
    for _ in range(5):
        window.get_by_role("button", name="Add to cart").click()
    expect(window.get_by_role("status")).to_contain_text("5 events wait")
    chapter.cell("## The shop window").evaluate("cell => cell.scrollIntoView({block: 'start'})")
    chapter.page.mouse.move(5, 5)
    chapter.page.wait_for_timeout(1500)  # until what moves has come to rest
    return chapter.page.screenshot()


def main() -> int:
    """Take the picture and save it with as few colours as it needs."""
    if chromium() is None:
        print("there is no Chromium on PATH; install it (Debian, Ubuntu: sudo apt install chromium)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        course, private = Path(folder) / "course", Path(folder) / "private"
        private.mkdir()
        make_copies(ROOT / "notebooks", course)
        with running_lab(course, private) as lab, lab.open("00_your_first_event.ipynb") as chapter:
            shot = picture(chapter)
    TARGET.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(128).save(TARGET, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
