"""The tagger comes without what TextBlob imports beside it, and does not stand in TextBlob's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TAGGER_FIRST = """
import sys
from openseg_ros.text.part_of_speech import singularize, tag
assert tag("Grasp the red mugs") == [("Grasp", "VB"), ("the", "DT"), ("red", "JJ"), ("mugs", "NNS")], tag("Grasp")
assert singularize("mugs") == "mug"
heavy = {"nltk", "scipy", "sklearn"} & set(sys.modules)
assert not heavy, heavy
from textblob import TextBlob
assert TextBlob("a wonderful cup").sentiment.polarity > 0
import textblob.en.taggers
assert tag("cup") == [("cup", "NN")]
"""
TEXTBLOB_FIRST = """
import textblob
from openseg_ros.text.part_of_speech import singularize, tag
import textblob.en
assert tag is textblob.en.tag
assert sys.modules["textblob"] is textblob
""".replace("import textblob\n", "import sys, textblob\n", 1)


def test_only_the_tagger_is_imported() -> None:
    for program in (TAGGER_FIRST, TEXTBLOB_FIRST):
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
