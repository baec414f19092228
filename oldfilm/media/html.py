"""Pieces of HTML that need no other file: pictures, sliders, players and plots."""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from oldfilm.imaging.color import as_rgb
from oldfilm.imaging.resample import resize

PICTURE_WIDTH = 960
"""Larger pictures are scaled down to this width, in pixels."""

EMBEDDED_BYTES = 24 << 20
"""Larger films are linked, not embedded."""

PLAYED = {
    ".mp4": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".apng": "image/apng",
    ".png": "image/png",
}
"""The types of files that browsers play, by suffix."""

_JPEG_QUALITY = 88
_LINES = (("#9db8d2", 4), ("#c8500a", 1.5))
"""Colors and widths of the lines in a plot: the first is still seen where the second covers it."""

_WIDTH, _HEIGHT = 900, 120
"""The units of a plot. It is drawn as wide as the page, and `_HEIGHT` pixels high."""

STYLE = """
.oldfilm{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:1020px}
.oldfilm h1{font-size:24px}.oldfilm h2{font-size:18px;margin:28px 0 8px}
.oldfilm table{border-collapse:collapse}
.oldfilm td,.oldfilm th{text-align:left!important;vertical-align:top;padding:3px 14px 3px 0}
.oldfilm tr{background:none!important}
.oldfilm th{font-weight:600;white-space:nowrap}.oldfilm td{overflow-wrap:anywhere}
.oldfilm figure{margin:14px 0;max-width:960px}.oldfilm figcaption{color:#555;font-size:13px}
.oldfilm .row{display:flex;flex-wrap:wrap;gap:0 18px}
@media(min-width:700px){.oldfilm .row figure{max-width:calc(50% - 9px)}}
.oldfilm .pair{position:relative;line-height:0}
.oldfilm .pair img{width:100%;display:block}
.oldfilm .pair img+img{position:absolute;inset:0;clip-path:inset(0 0 0 var(--cut,50%))}
.oldfilm .pair::after{content:"";position:absolute;top:0;bottom:0;left:var(--cut,50%);
width:2px;background:#fff}
.oldfilm input[type=range]{width:100%;margin:4px 0 0}
.oldfilm .plot{display:grid;grid-template-columns:52px 1fr;gap:2px 6px;margin-top:4px;
font-size:12px;line-height:1;color:#555}
.oldfilm .plot i{font-style:normal}.oldfilm .plot span{display:flex;justify-content:space-between}
.oldfilm .plot span:first-child{flex-direction:column;align-items:flex-end}
.oldfilm .plot span:last-child{grid-column:2}
.oldfilm .plot svg{width:100%;height:120px;overflow:visible;border:solid #999;
border-width:0 0 1px 1px}
.oldfilm .plot svg *{fill:none;vector-effect:non-scaling-stroke}
.oldfilm video,.oldfilm .alone{max-width:100%}
""".strip()


def picture_uri(image: np.ndarray, size: tuple[int, int] | None = None) -> str:
    """Return a picture as a data URI.

    image: float32 [h, w, c], RGB or luma, in [0, 1]. size: (width, height) to scale it to; by
    default its own, limited to `PICTURE_WIDTH`.
    """
    height, width = image.shape[:2]
    if size is None:
        size = fitted(width, height)
    scaled = as_rgb(resize(image, size, cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC))
    codes = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", codes[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def fitted(width: int, height: int) -> tuple[int, int]:
    """Return a size, scaled down to `PICTURE_WIDTH` if it is wider."""
    scale = min(1.0, PICTURE_WIDTH / width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def slider(before: np.ndarray, after: np.ndarray, caption: str = "") -> str:
    """Return a picture that shows `before` on the left and `after` on the right of a slider.

    Both are images as `picture_uri` takes them, of any size.
    """
    size = fitted(after.shape[1], after.shape[0])
    moved = "this.previousElementSibling.style.setProperty('--cut',this.value+'%')"
    pictures = f'<img alt="before" src="{picture_uri(before, size)}">'
    pictures += f'<img alt="after" src="{picture_uri(after, size)}">'
    return (
        f'<figure style="width:{size[0]}px"><div class="pair">{pictures}</div>'
        f'<input type="range" min="0" max="100" value="50" aria-label="before and after" '
        f'oninput="{moved}"><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def player(path: Path, poster: np.ndarray | None = None) -> str:
    """Return a player for a film or an animation: embedded if it is small, else a link.

    poster: what a film shows before it plays, as `picture_uri` takes it.
    """
    kind = PLAYED.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return f"<p>{html.escape(str(path))}</p>"
    if path.stat().st_size <= EMBEDDED_BYTES:
        address = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    else:
        address = path.absolute().as_uri()
    if kind.startswith("image/"):
        return f'<img class="alone" alt="{html.escape(path.name)}" src="{address}">'
    shown = "" if poster is None else f' poster="{picture_uri(poster)}"'
    return f'<video controls loop muted{shown} src="{address}"></video>'


def table(rows: Mapping[str, object]) -> str:
    """Return names and values as a table."""
    cells = (
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{''.join(cells)}</table>"


def listed(items: Iterable[str]) -> str:
    """Return sentences as a list."""
    return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in items)}</ul>"


def plot(
    title: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    marks: Sequence[float] = (),
    span: tuple[float, float] | None = None,
) -> str:
    """Return a plot over time.

    series: seconds and values of each line, by name. marks: seconds with a vertical line. span: the
    seconds to show, by default all that the lines have.
    """
    times = [second for seconds, _ in series.values() for second in seconds]
    values = [value for _, found in series.values() for value in found]
    if not times:
        return ""
    first, last = span or (min(times), max(times))
    axes = _Axes(first, max(last, first + 1e-3), min(0.0, *values), max(values) or 1.0)
    parts = [
        f'<path d="M{axes.x(mark):.1f},0V{_HEIGHT}" stroke="#777" stroke-dasharray="2 3"/>'
        for mark in marks
        if axes.first <= mark <= axes.last
    ]
    for (seconds, found), (color, width) in zip(series.values(), itertools.cycle(_LINES)):
        points = " ".join(
            f"{axes.x(s):.1f},{axes.y(value):.1f}" for s, value in zip(seconds, found)
        )
        parts.append(f'<polyline points="{points}" stroke="{color}" stroke-width="{width}"/>')
    legend = " ".join(
        f'<b style="border-bottom:{width}px solid {color}">{html.escape(name)}</b>'
        for name, (color, width) in zip(series, itertools.cycle(_LINES))
    )
    caption = f"<figcaption>{html.escape(title)} {legend}</figcaption>"
    return f"<figure>{caption}{axes.around(''.join(parts))}</figure>"


@dataclass(frozen=True)
class _Axes:
    """The axes of a plot: seconds from first to last, values from low to high."""

    first: float
    last: float
    low: float
    high: float

    def x(self, second: float) -> float:
        return (second - self.first) / (self.last - self.first) * _WIDTH

    def y(self, value: float) -> float:
        return (self.high - value) / (self.high - self.low) * _HEIGHT

    def around(self, lines: str) -> str:
        """Return lines, as SVG, with labels that keep their size on a narrow page."""
        box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        values = f"<i>{self.high:.3g}</i><i>{self.low:.3g}</i>"
        times = f"<i>{moment(self.first)}</i><i>{moment(self.last)}</i>"
        svg = f"<svg {box}>{lines}</svg>"
        return f'<div class="plot"><span>{values}</span>{svg}<span>{times}</span></div>'


def moment(seconds: float) -> str:
    """Return a time in a film for its viewers: 4.25 s, or 1:02:03.50 from a minute on."""
    whole, hundredths = divmod(round(seconds * 100), 100)
    if whole < 60:
        return f"{whole}.{hundredths:02d} s"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}.{hundredths:02d}"


def in_rows(figures: Iterable[str]) -> str:
    """Return figures next to each other, as many in a row as fit."""
    return f'<div class="row">{"".join(figures)}</div>'


def fragment(*parts: str) -> str:
    """Return parts with their style, for a notebook."""
    return f'<div class="oldfilm"><style>{STYLE}</style>{"".join(parts)}</div>'


def page(title: str, *parts: str) -> str:
    """Return a whole page that needs no other file."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>'
    head += '<meta name="viewport" content="width=device-width">'
    body = fragment(f"<h1>{html.escape(title)}</h1>", *parts)
    return (
        f"<!doctype html><html lang=en><head>{head}</head>"
        f'<body style="margin:20px 32px 60px">{body}</body></html>\n'
    )
