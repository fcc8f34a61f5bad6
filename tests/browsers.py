"""Which programs the browser's tests and its bench can drive."""

import shutil

# The last one is no command but where macOS has it.
NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip


def program() -> str | None:
    """The first of them that is on this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)
