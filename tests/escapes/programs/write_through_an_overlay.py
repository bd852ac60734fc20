"""Reach a directory of the host's as the upper one of an overlay."""

import os

from hostile import bait, mount, put

os.makedirs("lower")
os.makedirs("merged")
mount("overlay", "merged", "overlay", data=f"lowerdir=lower,upperdir={bait.upper},workdir={bait.work}")
put("merged/planted", "hostile")
