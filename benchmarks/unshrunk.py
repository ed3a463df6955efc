"""A plugin of pytest's: hypothesis says that a test fails, and looks for no smaller example.

`mutants.py` asks only whether a test fails, and the search for the smallest example takes minutes.
"""

from hypothesis import Phase, settings

settings.register_profile(
    "unshrunk", phases=(Phase.explicit, Phase.generate), deadline=None, database=None
)
settings.load_profile("unshrunk")
