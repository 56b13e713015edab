"""Tells players what they need to decode: the `codecs` parameter of RFC 6381.

It is read from the decoder's configuration in the file rather than from what was asked of the
encoder, which chooses profile and level by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torpor.transcode.isobmff import NotMedia, find

_VISUAL_FIELDS = 78
_AUDIO_FIELDS = 28
_DECODER_CONFIG = 4
_DECODER_SPECIFIC = 5
_DECODER_CONFIG_FIELDS = 13
_ES_FIELDS = 3


def codec_string(kind: str, entry: bytes) -> str:
    """Return the parameter for a sample entry of a kind such as `avc1`; NotMedia if unknown."""
    known = _STRINGS.get(kind)
    if known is None:
        raise NotMedia(f"a track of kind {kind!r}: none that is packaged")
    return known(kind, entry)


def _avc(kind: str, entry: bytes) -> str:
    """ISO/IEC 14496-15, 5.3.3.1.2; RFC 6381, 3.3."""
    return f"{kind}.{find(entry[_VISUAL_FIELDS:], 'avcC')[1:4].hex()}"


def _hevc(kind: str, entry: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3."""
    record = find(entry[_VISUAL_FIELDS:], "hvcC")
    space = ("", "A", "B", "C")[record[1] >> 6]
    tier = "H" if record[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(record[2:6]):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    parts = [kind, f"{space}{record[1] & 0x1F}", f"{compatible:x}", f"{tier}{record[12]}"]
    return ".".join([*parts, *(f"{byte:x}" for byte in constraints)])


def _av1(kind: str, entry: bytes) -> str:
    """AV1 Codec ISO Media File Format Binding, section 5."""
    record = find(entry[_VISUAL_FIELDS:], "av1C")
    profile, level = record[1] >> 5, record[1] & 0x1F
    tier = "H" if record[2] & 0x80 else "M"
    depth = 8 if not record[2] & 0x40 else 12 if record[2] & 0x20 else 10
    return f"{kind}.{profile}.{level:02d}{tier}.{depth:02d}"


def _aac(kind: str, entry: bytes) -> str:
    """RFC 6381, 3.3: the object type, and for MPEG-4 audio the audio object type."""
    described = find(entry[_AUDIO_FIELDS:], "esds")[4:]
    _, stream = _descriptor(described)
    tag, config = _descriptor(stream[_ES_FIELDS:])
    if tag != _DECODER_CONFIG:
        raise NotMedia("an esds box without the decoder's configuration")
    tag, specific = _descriptor(config[_DECODER_CONFIG_FIELDS:])
    if tag != _DECODER_SPECIFIC or not specific:
        raise NotMedia("an esds box without the kind of audio")
    return f"{kind}.{config[0]:x}.{specific[0] >> 3}"


def _descriptor(content: bytes) -> tuple[int, bytes]:
    """Return tag and content of an MPEG-4 descriptor (ISO/IEC 14496-1, 8.3.3)."""
    size, at = 0, 1
    while at < len(content):
        size = size << 7 | content[at] & 0x7F
        at += 1
        if not content[at - 1] & 0x80:
            return content[0], content[at : at + size]
    raise NotMedia("an esds box that ends within a descriptor")


def _opus(kind: str, entry: bytes) -> str:
    """Encapsulation of Opus in ISO Base Media File Format, section 4.3."""
    del entry
    return kind.lower()


_STRINGS: Mapping[str, Callable[[str, bytes], str]] = {
    "avc1": _avc,
    "hvc1": _hevc,
    "hev1": _hevc,
    "av01": _av1,
    "mp4a": _aac,
    "Opus": _opus,
}
