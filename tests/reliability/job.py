"""A job in a process of its own: `python -m tests.reliability.job SOURCE OUTPUT SEGMENT_FRAMES`."""

import sys

from oldfilm import pipeline
from oldfilm.apps.chains import predictors

SOURCE, OUTPUT, SEGMENT_FRAMES = sys.argv[1:]


def restore():
    options = pipeline.Options(segment_frames=int(SEGMENT_FRAMES))
    chain = predictors(["DAIN"], {"variant": "lite", "device": "cpu"})
    pipeline.restore(SOURCE, chain, OUTPUT, options)


restore()
