"""Codes of languages: what MP4 and QuickTime hold, and which codes name the same language."""

from __future__ import annotations

import re

# fmt: off
_PAIRS = (
    "aaaar ababk aeave afafr akaka amamh anarg arara asasm avava ayaym azaze babak bebel bgbul "
    "bhbih bibis bmbam bnben bobod brbre bsbos cacat ceche chcha cocos crcre csces cuchu cvchv "
    "cycym dadan dedeu dvdiv dzdzo eeewe elell eneng eoepo esspa etest eueus fafas ffful fifin "
    "fjfij fofao frfra fyfry gagle gdgla glglg gngrn guguj gvglv hahau heheb hihin hohmo hrhrv "
    "hthat huhun hyhye hzher iaina idind ieile igibo iiiii ikipk inind ioido isisl itita iuiku "
    "iwheb jajpn jiyid jvjav jwjav kakat kgkon kikik kjkua kkkaz klkal kmkhm knkan kokor krkau "
    "kskas kukur kvkom kwcor kykir lalat lbltz lglug lilim lnlin lolao ltlit lulub lvlav mgmlg "
    "mhmah mimri mkmkd mlmal mnmon mrmar msmsa mtmlt mymya nanau nbnob ndnde nenep ngndo nlnld "
    "nnnno nonor nrnbl nvnav nynya ococi ojoji omorm orori ososs papan pipli plpol pspus ptpor "
    "quque rmroh rnrun roron rurus rwkin sasan scsrd sdsnd sesme sgsag shhbs sisin skslk slslv "
    "smsmo snsna sosom sqsqi srsrp ssssw stsot susun svswe swswa tatam tetel tgtgk ththa titir "
    "tktuk tltgl tntsn toton trtur tstso tttat twtwi tytah uguig ukukr ururd uzuzb veven vivie "
    "vovol wawln wowol xhxho yiyid yoyor zazha zhzho zuzul"
)
_TWO_LETTERS = {pair[:2]: pair[2:] for pair in _PAIRS.split()}
"""ISO 639-1 to ISO 639-2, as MP4 stores it."""
_OTHERS = {
    "alb": "sqi", "arm": "hye", "baq": "eus", "bur": "mya", "chi": "zho", "cze": "ces",
    "dut": "nld", "fre": "fra", "geo": "kat", "ger": "deu", "gre": "ell", "ice": "isl",
    "mac": "mkd", "mao": "mri", "may": "msa", "per": "fas", "rum": "ron", "slo": "slk",
    "tib": "bod", "wel": "cym",
    "arabic": "ara", "chinese": "zho", "danish": "dan", "deutsch": "deu", "dutch": "nld",
    "english": "eng", "finnish": "fin", "french": "fra", "german": "deu", "italian": "ita",
    "japanese": "jpn", "korean": "kor", "norwegian": "nor", "polish": "pol", "portuguese": "por",
    "russian": "rus", "spanish": "spa", "swedish": "swe",
}
"""The other codes of ISO 639-2, and names that people write in their place."""
_OF_QUICKTIME = ("alb", "arm", "bur", "chi", "dut", "geo", "ger", "gre", "ice", "mac", "may", "tib")
"""Those of the other codes that ffmpeg stores in QuickTime."""
# fmt: on


def language_code(language: str) -> str | None:
    """Return the code of ISO 639-2 for a language: "eng" for "en", "en-US" and "English".

    None if it is not known.
    """
    name = re.split(r"[-_]", language.strip().lower())[0]
    code = _TWO_LETTERS.get(name) or _OTHERS.get(name)
    return code or (name if re.fullmatch("[a-z]{3}", name) else None)


def stored_language(language: str, form: str) -> str:
    """Return a language as a muxer of ffmpeg stores it, such as "mp4"; unchanged if it does not."""
    code = language_code(language)
    if code is None or form not in ("mp4", "ipod", "mov"):
        return language
    names = (other for other in _OF_QUICKTIME if _OTHERS[other] == code)
    return next(names, code) if form == "mov" else code


def has_region(language: str) -> bool:
    """Return whether a language has more to it than the code, such as "zh-CN"."""
    return re.search(r"[-_]", language) is not None
