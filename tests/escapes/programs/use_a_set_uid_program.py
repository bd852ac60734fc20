"""Execute a set-uid program of root's to write where only root may."""

import subprocess

from hostile import bait

subprocess.run([bait.program, bait.file], check=True)
