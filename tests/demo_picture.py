"""Make the animated picture of the README from the report of the demo: `python -m tests.demo_picture`; needs Pillow."""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import CHROMIUM

_FPS = 12
_SEEK = """(seconds) => {
  const scrubber = document.querySelector("#player [data-scrubber]");
  scrubber.value = seconds;
  scrubber.dispatchEvent(new Event("input", { bubbles: true }));
}"""


def record(page: Path, out: Path, *, clip: int, width: int) -> None:
    """Write an animated WebP of the faces of one clip in the player of a report."""
    frames = []
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM) as browser:
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto(page.resolve().as_uri())
        choice = tab.locator("#player [data-choice]")
        choice.select_option(index=clip)
        seconds = float(tab.locator("#player [data-scrubber]").get_attribute("max") or 0)
        faces = tab.locator("#player [data-faces]")
        for frame in range(int(seconds * _FPS)):
            tab.evaluate(_SEEK, frame / _FPS)
            frames.append(Image.open(io.BytesIO(faces.screenshot())).convert("RGB"))
    options = {"save_all": True, "append_images": frames[1:], "duration": 1000 // _FPS, "loop": 0}
    frames[0].save(out, format="WEBP", quality=70, method=6, **options)
    sys.stdout.write(f"{out}: {len(frames)} frames, {out.stat().st_size / 1e6:.2f} MB\n")


def main() -> None:
    """Parse the arguments and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("results/report/index.html"))
    parser.add_argument("--out", type=Path, default=Path("docs/demo.webp"))
    parser.add_argument("--clip", type=int, default=0, help="index in the list of clips")
    parser.add_argument("--width", type=int, default=760, help="width of the page in pixels")
    args = parser.parse_args()
    record(args.page, args.out, clip=args.clip, width=args.width)


if __name__ == "__main__":
    main()
