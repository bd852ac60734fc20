"""PyYAML without its regular expressions: they are there for who uses them."""

from __future__ import annotations

import subprocess
import sys


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def test_it_is_imported_without_re_and_its_own_constructor_finds_a_date_all_the_same() -> None:
    program = """
import sys
from thermos.formats.pyyaml import yaml
print("re" in sys.modules)
print(yaml.load("{a: 2026-11-23, b: 0x1f, c: yes}", Loader=yaml.SafeLoader))
import re
print(re.fullmatch("a+", "aaa").group())
"""
    assert said(program) == "False\n{'a': datetime.date(2026, 11, 23), 'b': 31, 'c': True}\naaa\n"


def test_who_wants_more_than_to_compile_gets_it() -> None:
    program = """
import sys, types
sys.modules["yaml"] = module = types.ModuleType("yaml")
from thermos.formats import pyyaml
sys.modules["re"] = pyyaml._stand_in
import re
assert re is pyyaml._stand_in
print(re.compile("(?P<x>.)b").match("ab")["x"], re.escape("."), re.X == 64)
import re
print(re is pyyaml._stand_in)
"""
    assert said(program) == "a \\. True\nFalse\n"
