"""Texts that tokenizers stumble over."""

# Text that has broken tokenizers, with its number of word pieces.
HOSTILE = {
    "empty": ("", 0),
    "only spaces": (" \t\u00a0\u3000\r\n ", 0),
    "10,000 characters without a space": ("a" * 10_000, 1),
    "10,000 punctuation marks": ("!" * 10_000, 10_000),
    "200 characters in a word": ("ab" * 100, 100),
    "201 characters in a word": ("ab" * 100 + "a", 1),
    "emoji": ("I \U0001f600 you\U0001f600", 3),
    "emoji with zero-width joiners": ("\U0001f469\u200d\U0001f469\u200d\U0001f467", 1),
    "CJK": ("\u6211\u559c\u6b22bert \u6771\u4eac", 6),
    "CJK outside the basic plane": ("\U00020000\U0002a700", 2),
    "Hangul": ("\ud55c\uad6d\uc5b4 \ub2e8\uc5b4", 13),
    "combining accents": ("cafe\u0301 na\u00efve A\u030angstro\u0308m", 4),
    "an accent alone": ("\u0301", 0),
    "control characters": ("a\x01b\x7fc\x85d \x0b\x0c\x1f", 2),
    "NUL": ("a\x00b\x00", 1),
    "right to left": (
        "\u05e9\u05dc\u05d5\u05dd \u202eabc\u202c \u0645\u0631\u062d\u0628\u0627",
        10,
    ),
    "lone surrogates": ("a \ud800 b \udfff", 2),
    "special tokens written out": ("x [SEP] y[CLS] [UNK] [PAD] [MASK]", 19),
    "zero-width joiner": ("a\u200db", 1),
    "soft hyphen": ("co\u00adop", 1),
    "U+FFFD": ("a\ufffdb \ufffd", 1),
    "line and paragraph separators": ("a\u2028b\u2029c", 3),
    "byte-order mark": ("\ufeffa", 1),
    "private use": ("a\ue000b", 1),
    "noncharacter": ("\uffff", 1),
    "final sigma": ("\u039f\u0394\u039f\u03a3", 3),
    "dotted I": ("\u0130stanbul", 1),
}

# name: (text, the reference's pieces, the pieces of tensorflow_text.BertTokenizer).
DIFFERENCES = {
    "ellipsis": ("book\u2026", "book \u2026", "book . . ."),
    "vulgar fraction": ("2 \u00bd", "2 \u00bd", "2 1 ##\u2044 ##2"),
    "superscript": ("x\u00b2", "x ##\u00b2", "x ##2"),
    "ligature": ("\ufb01ne", "\ufb01 ##ne", "fine"),
    "full width": ("\uff01", "\uff01", "!"),
    "acute accent as apostrophe": ("I\u00b4m", "i ##\u00b4 ##m", "i m"),
    "micro sign": ("\u00b5g", "\u00b5 ##g", "\u03bc ##g"),
    "final sigma": (
        "\u03ba\u03cd\u03c1\u03b9\u03bf\u03c2",
        "\u03ba ##\u03c5 ##\u03c1 ##\u03b9 ##\u03bf\u03c2",
        "\u03ba ##\u03c5 ##\u03c1 ##\u03b9 ##\u03bf ##\u03c3",
    ),
    "sharp s": ("stra\u00dfe", "st ##ra\u00dfe", "st ##ras ##se"),
    "control character": ("Treasury\x12s", "treasury ##s", "treasury s"),
    "NUL": ("a\x00b", "ab", "a b"),
    "U+FFFD": ("a\ufffdb", "ab", "[UNK]"),
    "lone surrogate": ("a \ud800 b", "a b", "a [UNK] b"),
    "line separator": ("a\u2028b", "a b", "[UNK]"),
    "Arabic number sign": ("a\u0600b", "ab", "a b"),
    "101 characters": ("a" * 101, " ".join(["aaa"] + ["##aa"] * 49), "[UNK]"),
}
