"""Files from strangers run no code, and cannot redirect what oldfilm reads and writes.

`docs/security.md` names the test of every promise.
"""

import os
import pickle
import re
import struct
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from oldfilm import pipeline
from oldfilm.api import predictors
from oldfilm.cli.enhance import main
from oldfilm.errors import MediaError, WeightsError
from oldfilm.media import Film, decode, write_photograph
from oldfilm.media.mux import first_sound
from oldfilm.weights import TransferError, download, read_weights
from oldfilm.weights.download import Expected
from oldfilm.weights.registry import read_config
from tests.films import FFMPEG, make_film
from tests.reliability.corpus import boxes

PROGRAM = "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{}]]"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", 6, size=(32, 32), sound=True)


def test_every_test_that_the_documentation_names_exists():
    top = Path(__file__).resolve().parents[1]
    page = (top / "docs" / "security.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (top / "tests").rglob("*.py"))
    names = re.findall(r"`(test_\w+)`", page)
    assert len(names) > 20
    assert [name for name in names if f"def {name}(" not in code] == []


# Weights.


class Calls:
    """An object whose pickle calls `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


RECONSTRUCT = np.zeros(1).__reduce__()[0]


class Forged:
    """An array with one object at an address from the file, if numpy trusts its dtype."""

    class Kind:
        def __reduce__(self):
            return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)

    def __reduce__(self):
        state = (1, (1,), Forged.Kind(), False, b"\x41" * 8)
        return RECONSTRUCT, (np.ndarray, (0,), b"b"), state


def test_a_paddle_file_cannot_pass_off_addresses_as_objects(tmp_path):
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps({"a": Forged()}, 2))
    with pytest.raises(WeightsError, match="holds object"):
        read_weights(path)


FALSE_SIZES = [
    pickle.dumps({"a": Calls(RECONSTRUCT, np.ndarray, (2**33,), b"b")}, 2),
    pickle.dumps({"a": Calls(np.ndarray, (2**33,))}, 2),
    b"\x80\x02}" + b"r\xff\xff\xff\x7f" + b".",
    b"\x80\x04\x8e" + struct.pack("<Q", 2**33) + b".",
    struct.pack("<Q", 2**40) + save({"a": np.zeros(3)})[8:],
    save({"a": np.zeros(3)}).replace(b"[0,24]", b"[0,99]"),
    save({"a": np.zeros(3)}).replace(b"[3]", b"[9]"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_weight_file_with_false_sizes_allocates_no_memory(tmp_path):
    """All of them can be read within 256 MiB more than before."""
    for number, content in enumerate(FALSE_SIZES):
        (tmp_path / f"{number}").write_bytes(content)
    program = f"""
        import pathlib, resource
        import oldfilm.weights
        from oldfilm.errors import WeightsError
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        began = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (began + (256 << 20),) * 2)
        for path in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):
            try:
                oldfilm.weights.read_weights(path)
                print("read")
            except WeightsError as error:
                print("refused", type(error.__cause__).__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0
    endings = done.stdout.splitlines()
    assert len(endings) == len(FALSE_SIZES)
    assert {ending.split()[0] for ending in endings} <= {"read", "refused"}
    assert endings[-3:] == ["refused SafetensorError"] * 3


# Configs and presets.

CONFIG = """
name: Strange
variants:
  full:
    network: {network}
    weights: {{file: {file}, urls: [{url}], licence: MIT, source: somewhere}}
"""
GOOD = {"network": "a.B", "file": "a.safetensors", "url": "https://example.org/a.pdparams"}


@pytest.mark.parametrize(
    "change",
    [
        *({"file": name} for name in ("../a.safetensors", "/tmp/a.safetensors", "b/a.safetensors")),
        *({"file": name} for name in ("'..\\a.safetensors'", "C:a.safetensors")),
        {"url": "https://example.org/%2e%2e%2fa.pdparams"},
        {"url": "https://example.org/..%5Ca.pdparams"},
        *({"network": name} for name in ("os.system.x", "..os.system", "/tmp/a.B")),
    ],
)
def test_a_config_names_nothing_outside_its_folder(tmp_path, change):
    path = tmp_path / "strange.yaml"
    path.write_text(CONFIG.format(**GOOD))
    assert read_config(path).variants["full"].file == "a.safetensors"
    path.write_text(CONFIG.format(**{**GOOD, **change}))
    with pytest.raises(WeightsError, match="not a plain file name|not of the form MODULE.CLASS"):
        read_config(path)


def test_yaml_runs_nothing(tmp_path, film, capsys):
    path, written = tmp_path / "strange.yaml", tmp_path / "written"
    path.write_text(f"process_order: {PROGRAM.format(written)}")
    with pytest.raises(WeightsError, match="could not determine a constructor"):
        read_config(path)
    assert main(["--input", str(film), "--preset", str(path)]) == 2
    assert "could not determine a constructor" in capsys.readouterr().err
    assert not written.exists()


@pytest.mark.parametrize(
    "text",
    ["output: elsewhere", "work-dir: elsewhere", "overwrite: true", "address: 'ray://elsewhere'"]
    + ["variant: [A=lite, --output=elsewhere]", "variant: [--overwrite, A=lite]"],
)
def test_a_preset_cannot_set_where_to_write(tmp_path, film, capsys, text):
    path = tmp_path / "strange.yaml"
    path.write_text(f"process_order: [Sharpen]\n{text}\n")
    assert main(["--input", str(film), "--preset", str(path)]) == 2
    assert "strange.yaml" in capsys.readouterr().err
    assert not Path("elsewhere").exists()


# Folders from strangers.


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside"
    path.mkdir()
    (path / "file").write_text("untouched")
    yield path
    assert [p.name for p in path.iterdir()] == ["file"]
    assert (path / "file").read_text() == "untouched"


@pytest.mark.parametrize(
    "name", ["", "manifest.json", "manifest.json.new", "00000000.mp4", "frames", ".job.lock"]
)
def test_a_work_folder_with_a_link_is_refused(tmp_path, film, outside, name):
    work = tmp_path / "out" / ".film_Sharpen_out.mp4.oldfilm"
    work.parent.mkdir()
    if name:
        work.mkdir()
    (work / name if name else work).symlink_to(
        outside if name in ("", "frames") else outside / "file"
    )
    options = pipeline.RestoreOptions(save_frames=True)
    with pytest.raises(MediaError, match="is a symbolic link"):
        pipeline.restore(film, predictors(["Sharpen"]), tmp_path / "out", options)


def test_an_unfinished_picture_is_not_written_through_a_link(tmp_path, outside):
    (tmp_path / ".a.png.part").symlink_to(outside / "file")
    write_photograph(tmp_path / "a.png", np.zeros((4, 4, 3), np.float32))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (4, 4)


# Network.


class Site:
    """Send one answer to every request, and record the paths."""

    def __init__(self, answer=b"content", location=None):
        self.asked = []
        site = self

        class Request(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                self.send_response(302 if location else 200)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.url = f"http://127.0.0.1:{self.server.server_port}/film.mp4"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def networked(monkeypatch):
    monkeypatch.delenv("OLDFILM_OFFLINE")
    monkeypatch.delenv("OLDFILM_ALLOW_HTTP", raising=False)
    monkeypatch.setattr(download, "RETRY_SECONDS", (0,))


def bring(url, folder):
    download.download([url], folder / "a.pdparams", Expected())


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "data", "HTTP"])
def test_only_https_is_requested(tmp_path, networked, scheme):
    with Site() as site, pytest.raises(TransferError, match="is not https"):
        address = site.url.partition(":")[2]
        (tmp_path / "secret").write_bytes(b"content")
        bring(f"file://{tmp_path}/secret" if scheme == "file" else f"{scheme}:{address}", tmp_path)
    assert not site.asked
    assert not (tmp_path / "a.pdparams").exists()


def test_a_mirror_without_https_must_be_allowed(tmp_path, networked, monkeypatch):
    with Site() as site:
        monkeypatch.setenv("OLDFILM_MIRROR", site.url.rpartition("/")[0])
        with pytest.raises(TransferError, match="is not https"):
            bring("https://127.0.0.1:1/film.mp4", tmp_path)
        assert not site.asked
        monkeypatch.setenv("OLDFILM_ALLOW_HTTP", "1")
        bring("https://127.0.0.1:1/film.mp4", tmp_path)
    assert (tmp_path / "a.pdparams").read_bytes() == b"content"


def test_https_is_not_redirected_to_http(tmp_path, networked, monkeypatch):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*made, "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        pytest.skip("requires openssl, to make a certificate")
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Site() as plain, Site(location=plain.url) as site:
        site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
        with pytest.raises(TransferError, match=f"{plain.url} is not https"):
            bring(site.url.replace("http:", "https:"), tmp_path)
    assert site.asked
    assert not plain.asked


def test_a_download_is_not_written_through_a_link(tmp_path, networked, monkeypatch, outside):
    monkeypatch.setenv("OLDFILM_ALLOW_HTTP", "1")
    cache = tmp_path / "cache"
    cache.mkdir()
    with Site() as site:
        note = f'{{"url": "{site.url}", "version": "1"}}'
        (cache / "a.pdparams.part.json").write_text(note)
        (cache / "a.pdparams.part").symlink_to(outside / "file")
        bring(site.url, cache)
    assert (cache / "a.pdparams").read_bytes() == b"content"


def test_a_file_larger_than_expected_is_refused(tmp_path, networked, monkeypatch):
    monkeypatch.setenv("OLDFILM_ALLOW_HTTP", "1")
    with Site(answer=bytes(5_000_000)) as site, pytest.raises(TransferError, match="has 5000000"):
        download.download([site.url], tmp_path / "a", Expected(bytes=10))


# ffmpeg.

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=control:{}\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
    '<Period><AdaptationSet contentType="video"><Representation id="1" bandwidth="1" '
    'mimeType="video/mp4"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "avisynth": 'DirectShowSource("{}")\n',
    "rtsp": "RTSPtext\n{}\n",
    "asx": '<ASX version="3.0"><Entry><Ref href="{}"/></Entry></ASX>\n',
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n"
    "timestamp: 00:00:01:000, filepos: 000000000\n# {}\n",
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/'
    '2067-3/2016"><Id>{}</Id></CompositionPlaylist>',
    "smil": '<smil><body><video src="{}"/></body></smil>',
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".avi"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_does_not_make_ffmpeg_read_its_entries(tmp_path, film, kind, suffix):
    with Site() as site:
        for named in (site.url, "other.mp4", f"file:{film}"):
            (tmp_path / "other.mp4").write_bytes(film.read_bytes())
            path = tmp_path / f"film{suffix}"
            path.write_text(PLAYLISTS[kind].format(named))
            for read in (Film.open, first_sound):
                with pytest.raises(MediaError):
                    read(path)
    assert not site.asked


def test_ffmpeg_follows_such_playlists_if_allowed(tmp_path):
    """Otherwise the test above could not fail."""
    path = tmp_path / "film.mp4"
    with Site() as site:
        path.write_text(PLAYLISTS["concat"].format(site.url))
        allowed = ["-safe", "0", "-protocol_whitelist", "file,http,tcp"]
        read = [FFMPEG, *allowed, "-i", path, "-f", "null", "-"]
        subprocess.run(read, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert site.asked


def test_an_mp4_with_an_external_data_reference_is_not_followed(tmp_path, film):
    """Its data reference claims that the samples are in another file."""
    data = film.read_bytes()
    with Site() as site:
        for kind in (b"url ", b"alis"):
            entry = kind + b"\0\0\0\0" + site.url.encode() + b"\0"
            path = tmp_path / "strange.mp4"
            path.write_bytes(with_reference(data, struct.pack(">I", len(entry) + 4) + entry))
            assert len(list(decode(Film.open(path)))) == 6  # The samples in the file itself.
        assert not site.asked


def with_reference(data, entry):
    """Replace the first data reference of the video track."""
    at = data.index(b"url \0\0\0\1") - 4
    out = bytearray(data)
    for start, size, kind in boxes(data):
        if start < at < start + size and kind != b"url ":
            out[start : start + 4] = struct.pack(">I", size + len(entry) - 12)
    return bytes(out[:at]) + entry + bytes(out[at + 12 :])


STRANGE_NAMES = [
    *("concat:a|b.mp4", "http:film.mp4", "file:film.mp4", "pipe:0.mp4", "-i.mp4", "-y.mp4"),
    *("subfile,,start,0,end,9,,:film.mp4", "data:film.mp4", "$(touch written).mp4", "%03d.mp4"),
    *("film;touch written.mp4", "async:cache:film.mp4", "film.mp4?x=1&y=|x", "~.mp4", "@film.mp4"),
]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_name_that_looks_like_an_address_or_an_option_is_a_name(
    tmp_path, film, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(film.read_bytes())
    opened = Film.open(name)
    assert (opened.width, opened.frames, len(list(decode(opened)))) == (32, 6, 6)
    assert first_sound(Path(name)).codec == "aac"
    assert [path.name for path in Path().iterdir()] == [name]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
def test_a_film_with_a_strange_name_is_restored(tmp_path, film, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-i concat:a|b.mp4").write_bytes(film.read_bytes())
    assert main(["--input=-i concat:a|b.mp4", "--process_order", "Sharpen", "--quiet"]) == 0
    assert [p.name for p in Path("output").iterdir()] == ["-i concat:a|b_Sharpen_out.mp4"]
