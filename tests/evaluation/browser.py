"""A page in Chromium, if there is one, and a script of a test on it."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)

ERRORS = "<script>var errors=[];addEventListener('error',e=>errors.push(e.message));</script>"
DRIVER = """<script>
const wait = ms => new Promise(done => setTimeout(done, ms));
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const texts = (selector, root) => all(selector, root).map(own => own.textContent);
const press = key =>
  document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const button = name => all("button").find(own => own.textContent === name);
const choose = (menu, value) => { menu.value = value; menu.dispatchEvent(new Event("change")); };
const type = (field, value) => { field.value = value; field.dispatchEvent(new Event("input")); };
(async () => {
  await wait(100);
  let found;
  try { found = await (async () => { %s })(); } catch (error) { errors.push(String(error)); }
  document.body.append(Object.assign(document.createElement("pre"),
    {id: "found", textContent: JSON.stringify({found, errors})}));
})();
</script></body>"""


def dumped(file: Path, width: int = 1000) -> str:
    """Return the page as it is once its scripts have run."""
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=4000"]
    options += [f"--user-data-dir={file.parent}/profile", f"--window-size={width},900"]
    done = subprocess.run(
        [str(BROWSER), *options, "--dump-dom", file.as_uri()],
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.stdout.decode()


def in_browser(page: str, folder: Path, code: str, width: int = 1000) -> Any:
    """Return what a script on the page returns, which may wait; nothing on it may fail."""
    file = folder / "page.html"
    page = page.replace("<head>", f"<head>{ERRORS}").replace("</body>", DRIVER % code)
    file.write_text(page, "utf-8")
    shown = dumped(file, width)
    told = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert told, shown[-2000:]
    answer = json.loads(unescape(told[1]))
    assert answer["errors"] == []
    return answer["found"]
