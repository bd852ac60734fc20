"""Execute a program with capabilities of its own to write where only root may."""

import subprocess

from hostile import bait

subprocess.run([bait.program, bait.file], check=True)
