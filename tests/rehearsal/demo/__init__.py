"""`script/demo`: conversations through the whole product over real HTTP, with fake providers and a fake Gemini.

Without a word it plays the story of three customers over Wappi, in which weeks pass (`weeks`). `--channel KIND` plays a
short story of one kind of channel, `--channel all` of every kind at once, each on its own bot (`channels`). Prints the
transcript with the time spent per stage, and exits 0 only if every message arrived exactly once.
"""

from __future__ import annotations

import argparse

from . import channels, stories, weeks

LONG = "wappi"


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.add_argument(
        "--channel", choices=["all", *stories.STORIES], default=LONG, help="kind of channel, or all (default: the long story)"
    )
    wanted = parser.parse_args().channel
    if wanted == LONG:
        return weeks.tell()
    return channels.play(list(stories.STORIES) if wanted == "all" else [wanted])
