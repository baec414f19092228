"""Restored frames get the alpha channel of their time, at their size."""

from fractions import Fraction

import numpy as np

from oldfilm.pipeline.alpha_channel import AlphaChannel
from oldfilm.stage import Frame

RATE = 25


def channel(values, cuts=(), start=Fraction(0)):
    images = (np.full((2, 4), value, np.float32) for value in values)
    frames = (Frame(image, start + Fraction(i, RATE)) for i, image in enumerate(images))
    return AlphaChannel(frames, start, cuts)


def given(alpha, *times):
    """Return the mean alpha at these times, in frames of the source."""
    frames = [Frame(np.zeros((4, 8, 3), np.float32), Fraction(time) / RATE) for time in times]
    found = [alpha.of(frame) for frame in frames]
    assert all(image.shape == (4, 8) for image in found)
    return [float(image.mean()) for image in found]


def test_alpha_is_interpolated_between_frames_and_held_at_the_end():
    times = (0, Fraction(1, 2), 1, Fraction(5, 4), 2, 3)
    assert given(channel([0, 1, 0.5]), *times) == [0, 0.5, 1, 0.875, 0.5, 0.5]


def test_alpha_is_not_mixed_across_a_cut():
    alpha = channel([0, 1, 0], cuts=[Fraction(1, RATE)])
    assert given(alpha, 0, Fraction(1, 2), 1, Fraction(3, 2)) == [0, 0, 1, 0.5]


def test_times_count_from_the_start_of_a_part():
    assert given(channel([0.25, 0.75], start=Fraction(7)), 0, 1) == [0.25, 0.75]


def test_frames_are_opaque_where_no_alpha_can_be_decoded():
    assert given(channel([]), 0, 1) == [1, 1]
