"""Take the pictures of the playground that the README and its page show.

python benchmarks/pictures.py [--to docs]

Needs playwright (its Python package) and Debian's chromium.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from serving import serving_process

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def take(browser: Any, address: str, to: Path, scheme: str, width: int, height: int) -> None:
    """Write on for a line with the first chain, and take the picture."""
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1
    )
    page.goto(f"{address}/play")
    page.wait_for_selector("html[data-ready]")
    page.get_by_label("Compare with chain B").check()
    page.get_by_role("button", name="Write 40").first.click()
    page.wait_for_timeout(6000)
    for _ in range(5):  # to a place where more than one token is likely
        page.get_by_role("button", name="One token back").click()
    page.wait_for_timeout(2000)
    page.screenshot(path=to)
    page.close()


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", default="docs", type=Path)
    asked = parser.parse_args()
    with serving_process("shakespeare", "play") as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        take(browser, address, asked.to / "play.png", "light", 1440, 940)
        take(browser, address, asked.to / "play_dark.png", "dark", 1440, 940)
        browser.close()


if __name__ == "__main__":
    main()
