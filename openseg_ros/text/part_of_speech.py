"""TextBlob's part-of-speech tagger and its inflections, without what else TextBlob imports.

`import textblob.en` first runs TextBlob's own `__init__`, which imports nltk, which imports scipy and scikit-learn
where they are installed: up to 1.3 s of a start and 130 MB, and nothing that the tagger needs, which is plain Python.
So the tagger is imported below a package of the same path whose `__init__` has not run. A process that imports the
whole of TextBlob gets it, before and after.
"""

from __future__ import annotations

import importlib.util
import sys

_whole = sys.modules.get("textblob")
if _whole is None:
    _specification = importlib.util.find_spec("textblob")
    if _specification is None:
        raise ImportError("the Python package 'textblob' is missing; install requirements/runtime.txt")
    sys.modules["textblob"] = importlib.util.module_from_spec(_specification)
try:
    from textblob.en import tag
    from textblob.en.inflect import singularize
finally:
    if _whole is None:
        del sys.modules["textblob"]

__all__ = ["load_lexicon", "singularize", "tag"]


def load_lexicon() -> None:
    """Read the tagger's lexicon (0.1 s of processor time), which otherwise the first sentence waits for."""
    tag("cup")
