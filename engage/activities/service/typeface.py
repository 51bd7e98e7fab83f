"""The Chinese font of certificates, and which characters it has."""

from __future__ import annotations

import struct
import unicodedata
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import typst

_FONTS: Final = "manimgx_fonts_cjk"
_FAMILY: Final = "Noto Sans CJK SC"
_MISSING: Final = "〓"  # what printers set for a character that they lack
_ALL_OF_UNICODE: Final = 12  # the format of a mapping that may hold any character (OpenType, cmap)
_VARIATION_SELECTORS: Final = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))


@cache
def fonts() -> typst.Fonts:
    """Return the installed Chinese font; only what a certificate uses of it is embedded."""
    folder = resources.files(_FONTS)
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder)])


def legible(text: str) -> str:
    """Return a text with 〓 for each character that the font lacks, and without those that only say how to draw their neighbours."""
    known = _characters()
    return "".join(letter if ord(letter) in known else _stand_in(letter) for letter in text)


def _stand_in(letter: str) -> str:
    shapes = unicodedata.category(letter) == "Cf" or letter in _VARIATION_SELECTORS
    return "" if shapes else _MISSING


@cache
def _characters() -> frozenset[int]:
    # The typesetter names the file and the face in it, but not what the face has.
    face = next(font for font in fonts().fonts() if font.family == _FAMILY)
    ranges = _ranges(Path(str(face.path)).read_bytes(), face.index)
    return frozenset(code for first, last in ranges for code in range(first, last + 1))


def _ranges(font: bytes, index: int) -> list[tuple[int, int]]:
    """Return the first and the last of each run of characters that a face of a font collection maps to glyphs."""

    def read(layout: str, offset: int) -> Any:
        return struct.unpack_from(layout, font, offset)

    (face,) = read(">L", 12 + 4 * index)
    (tables,) = read(">H", face + 4)
    directory = dict(read(">4s4xL", face + 12 + 16 * number) for number in range(tables))
    cmap = directory[b"cmap"]
    (mappings,) = read(">H", cmap + 2)
    starts = [cmap + read(">L", cmap + 8 + 8 * number)[0] for number in range(mappings)]
    start = next(start for start in starts if read(">H", start) == (_ALL_OF_UNICODE,))
    (groups,) = read(">L", start + 12)
    return [read(">LL", start + 16 + 12 * group) for group in range(groups)]
