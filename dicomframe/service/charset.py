"""Specific Character Set: which bytes are which text (PS3.3 C.12.1.1.2, PS3.5 section 6.1).

pydicom can do this too, but it warns through the process-wide `warnings` module and follows process-wide
settings; a service with several threads needs an answer that depends on its arguments alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Files without a character set may hold ASCII only; those that hold more mostly mean this one.
DEFAULT = "latin_1"

_ISO_8859 = {
    100: "latin_1", 101: "iso8859_2", 109: "iso8859_3", 110: "iso8859_4", 144: "iso8859_5", 127: "iso8859_6",
    126: "iso8859_7", 138: "iso8859_8", 148: "iso8859_9", 203: "iso8859_15",
}  # fmt: skip
_OTHERS = {
    6: DEFAULT, 13: "shift_jis", 166: "tis_620", 87: "iso2022_jp", 159: "iso2022_jp_2", 149: "euc_kr",
    58: "gb2312", 192: "utf_8",
}  # fmt: skip

#: Defined term -> Python codec.
_CODEC = {
    "": DEFAULT,
    "GB18030": "gb18030",
    "GBK": "gbk",
    **{f"ISO_IR {number}": codec for number, codec in (_ISO_8859 | _OTHERS).items()},
    **{f"ISO 2022 IR {number}": codec for number, codec in (_ISO_8859 | _OTHERS).items()},
}

#: Escape sequence (PS3.3 tables C.12-3 and C.12-4) -> Python codec of what follows it. The codecs of single-byte
#: sets keep ASCII in the lower half, as the standard's pairs of G0 and G1 do.
_CODEC_AFTER_ESCAPE = {
    b"(B": DEFAULT, b"-A": "latin_1", b"-B": "iso8859_2", b"-C": "iso8859_3", b"-D": "iso8859_4",
    b"-L": "iso8859_5", b"-G": "iso8859_6", b"-F": "iso8859_7", b"-H": "iso8859_8", b"-M": "iso8859_9",
    b"-b": "iso8859_15", b"-T": "tis_620", b")I": "shift_jis", b"(J": "shift_jis", b"$)C": "euc_kr",
    b"$)A": "gb2312", b"$B": "iso2022_jp", b"$(D": "iso2022_jp_2",
}  # fmt: skip
#: These codecs are stateful: they want the escape sequence itself in front.
_WITH_ESCAPE = {"iso2022_jp", "iso2022_jp_2"}

_ESCAPE = re.compile(rb"\x1b(\$\([A-Z]|\$\)[A-Z]|\$[A-Z]|[()\-][A-Za-z])")


def codec_of(terms: Sequence[str]) -> str:
    """Give the Python codec that a data set's text begins in; of an unknown term, the default one.

    Code extensions (several terms) begin with the first one; escape sequences switch to the others.

    Examples
    --------
    >>> codec_of(["ISO_IR 192"]), codec_of([]), codec_of(["", "ISO 2022 IR 87"]), codec_of(["ISO IR101"])
    ('utf_8', 'latin_1', 'latin_1', 'iso8859_2')
    """
    return _CODEC.get(_spelling(terms[0]), DEFAULT) if terms else DEFAULT


def _spelling(term: str) -> str:
    # "ISO IR 100", "ISO-IR 100" and "ISO 2022 IR100" are met in the wild and can mean one thing only.
    bare = re.sub(r"[ _\-]", "", term.upper())
    match = re.fullmatch(r"ISO(2022)?IR(\d+)", bare)
    if match is None:
        return "ISO_IR 192" if bare == "UTF8" else bare
    return f"ISO 2022 IR {match[2]}" if match[1] else f"ISO_IR {match[2]}"


def decode(raw: bytes, codec: str) -> tuple[str, bool]:
    r"""Decode text of a data set; escape sequences switch the codec until the next one or a delimiter.

    Parameters
    ----------
    raw : bytes
        One element's value, all its values with their backslashes.
    codec : str
        From `codec_of`.

    Returns
    -------
    text : str
        What cannot be decoded stands as U+FFFD.
    whole : bool
        Whether every byte could be decoded.

    Examples
    --------
    >>> decode(b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "latin_1")
    ('Yamada^Tarou=山田^太郎', True)
    """
    try:
        if b"\x1b" not in raw:
            return raw.decode(codec), True
        return "".join(_decode_extended(raw, codec)), True
    except UnicodeDecodeError:
        return raw.decode(codec, "replace"), False


def _decode_extended(raw: bytes, codec: str) -> list[str]:
    pieces = _ESCAPE.split(raw)
    texts = [pieces[0].decode(codec)]
    for escape, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        after = _CODEC_AFTER_ESCAPE.get(escape, codec)
        if after in _WITH_ESCAPE:
            texts.append((b"\x1b" + escape + piece).decode(after))
            continue
        # A delimiter puts the first character set back (PS3.5 section 6.1.2.5.3).
        extended, delimiter, rest = _split_at_delimiter(piece)
        texts += [extended.decode(after), delimiter.decode("ascii"), rest.decode(codec)]
    return texts


def _split_at_delimiter(piece: bytes) -> tuple[bytes, bytes, bytes]:
    match = re.search(rb"[\\^=\r\n\t\f]", piece)
    if match is None:
        return piece, b"", b""
    return piece[: match.start()], match[0], piece[match.end() :]
