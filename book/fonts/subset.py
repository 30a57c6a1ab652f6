"""Makes book/src/fonts/stix-two-math.woff2, the part of STIX Two Math that the book's formulas need.

    npm pack @fontsource/stix-two-math@5.3.0 && tar xzf fontsource-stix-two-math-5.3.0.tgz
    pip install fonttools==4.68.0 brotli==1.2.1
    python book/fonts/subset.py package/files/stix-two-math-latin-400-normal.woff2

The licence beside the font is the package's. It allows a part under the same licence, and reserves no name.
"""

import sys
from pathlib import Path

from fontTools import subset

OUT = Path(__file__).parent.parent / "src/fonts/stix-two-math.woff2"

CHARACTERS = [
    (0x20, 0x7E),  # ASCII
    (0xA0, 0xFF),  # ±, ×, ·
    (0x2C6, 0x2DD),  # accents
    (0x300, 0x338),
    (0x370, 0x3FF),  # Greek
    (0x2000, 0x2044),  # spaces, dashes, ellipses, primes
    (0x2061, 0x2064),  # invisible operators
    (0x210E, 0x211D),  # h, ℓ, ℝ
    (0x2190, 0x21D5),  # arrows
    (0x2200, 0x22FF),  # operators
    (0x2308, 0x230B),  # floor and ceiling
    (0x239B, 0x23B9),  # parts of tall brackets
    (0x23DC, 0x23E1),  # braces above and below
    (0x27E8, 0x27E9),  # angle brackets
    (0x1D400, 0x1D467),  # bold, italic
    (0x1D538, 0x1D56B),  # double-struck
    (0x1D6A4, 0x1D71B),  # dotless i and j, Greek bold, italic
]


def main() -> None:
    options = subset.Options()
    options.flavor = "woff2"
    options.hinting = False
    # Alternate shapes for scripts; the rest are styles that nothing here asks for.
    options.layout_features = ["ssty", "dtls", "flac", "ccmp", "mark", "mkmk", "kern"]
    font = subset.load_font(sys.argv[1], options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[code for first, last in CHARACTERS for code in range(first, last + 1)])
    subsetter.subset(font)
    subset.save_font(font, OUT, options)
    print(f"{OUT}: {OUT.stat().st_size} bytes")


main()
