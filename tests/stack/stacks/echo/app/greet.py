"""Writes a word to a file and ends."""

import sys
import time
from pathlib import Path

time.sleep(0.2)  # who does not wait for the end, does not find the file
Path(sys.argv[1]).write_text(sys.argv[2])
