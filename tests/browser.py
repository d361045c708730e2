"""A headless browser for tests of pages."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium or Chrome is not installed")

_ARGS = ["--autoplay-policy=no-user-gesture-required"]


def run_in_page(page: Path, script: str, *, size: tuple[int, int] = (1000, 900), is_dark: bool = False) -> Any:
    """Open a page from its file, run a script in it, and return the result.

    Fails if the page has an error, logs an error to the console, or sends a request.

    Parameters
    ----------
    script
        Body of an async function; `wait(milliseconds)` is defined for it.
    size
        Width and height of the viewport in pixels.
    is_dark
        Whether the user prefers dark pages.
    """
    errors: list[str] = []
    requests: list[str] = []
    wait = "const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));"
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGS) as browser:
        scheme = "dark" if is_dark else "light"
        tab = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url[:80]))
        tab.goto(page.as_uri())
        result = tab.evaluate(f"async () => {{ {wait} {script} }}")
    remote = [url for url in requests if not url.startswith(("file:", "data:"))]
    assert not errors and not remote, f"errors: {errors}; requests: {remote}"
    return result


LOW_CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (color) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const background = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = rgb(getComputedStyle(e).backgroundColor);
    if (color[3] > 250) return color;
  }
  return [255, 255, 255];
};
const low = [];
for (const element of document.querySelectorAll("body *")) {
  const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
  if (!text || !element.checkVisibility() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const [a, b] = [rgb(getComputedStyle(element).color), background(element)].map(luminance).sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) low.push(`${element.tagName}.${element.className} ${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return low;
"""
"""Script for `run_in_page`: texts whose contrast with their background is below 4.5 to 1 (WCAG 2, level AA)."""

OVERFLOW = """
for (const details of document.querySelectorAll("details")) details.open = true;
const inside = (element) => element.closest("pre, .skip, thead, svg");
const wide = [...document.querySelectorAll("main *, header *")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.width && !inside(element) && (box.right > innerWidth + 1 || box.left < -1);
});
return [document.documentElement.scrollWidth <= innerWidth, wide.map((e) => e.textContent.slice(0, 40))];
"""
"""Script for `run_in_page`: whether the page needs no sideways scrolling, and texts of elements beyond its edges."""
