"""Timecodes: a part of a film, another rate, and drop-frame timecode."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oldfilm.media.timecode import shifted

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("timecode", "rate", "start", "new_rate", "expected"),
    [
        ("10:20:30:05", 25, 0, 25, "10:20:30:05"),
        ("10:20:30:05", 25, 2, 25, "10:20:32:05"),
        ("10:20:30:05", 25, 0, 50, "10:20:30:10"),
        ("10:20:30:06", 24, Fraction(1, 24), 24, "10:20:30:07"),
        ("01:00:00:12", 16, 0, 64, "01:00:00:48"),
        ("23:59:59:24", 25, Fraction(1, 25), 25, "00:00:00:00"),
        ("00:00:59;29", NTSC, 1 / NTSC, NTSC, "00:01:00;02"),
        ("00:09:59;29", NTSC, 1 / NTSC, NTSC, "00:10:00;00"),
        ("00:59:59;29", NTSC, 1 / NTSC, NTSC, "01:00:00;00"),
        ("00:01:00;02", NTSC, 0, NTSC * 2, "00:01:00;04"),
        ("00:00:10:00", NTSC, 0, Fraction(24000, 1001), "00:00:10:00"),
    ],
)
def test_the_timecode_of_the_first_frame_follows_the_part_and_the_rate(
    timecode, rate, start, new_rate, expected
):
    assert shifted(timecode, Fraction(rate), Fraction(start), Fraction(new_rate)) == expected


@pytest.mark.parametrize("text", ["", "noon", "10:20:30", "10:61:00:00", "10:20:30:05:06"])
def test_what_is_not_a_timecode_gives_none(text):
    assert shifted(text, Fraction(25), Fraction(0), Fraction(25)) is None


@given(st.integers(0, 24 * 60 * 60 * 24), st.sampled_from([24, 25, NTSC, NTSC * 2]))
def test_frame_numbers_survive_as_timecodes(count, rate):
    rate = Fraction(rate)
    zero = "00:00:00;00" if rate.denominator > 1 else "00:00:00:00"
    timecode = shifted(zero, rate, count / rate, rate)
    assert shifted(timecode, rate, 0 / rate, rate) == timecode
    following = shifted(timecode, rate, 1 / rate, rate)
    assert following == shifted(zero, rate, (count + 1) / rate, rate)
