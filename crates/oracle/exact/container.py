"""A case as bytes: canonical JSON, safetensors, digest."""

import hashlib
import json
import struct
from math import isfinite, isnan, prod

FORMATS = {"F16": ("e", 2), "F32": ("f", 4), "F64": ("d", 8), "U8": ("B", 1)}
NAN = {"F16": "007e", "F32": "0000c07f", "F64": "000000000000f87f"}  # the quiet nan, sign 0, payload 0


def canonical(value) -> str:
    """RFC 8785: keys sorted by UTF-16 units, numbers as ECMAScript prints them, no spaces."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda k: k.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(k)}:{canonical(value[k])}" for k in keys) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(float(value))
    return json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """ECMAScript's Number::toString. Python's repr finds the same shortest digits and writes them in another way."""
    assert isfinite(value)
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


for _value, _text in [(8.0, "8"), (1e-8, "1e-8"), (0.001, "0.001"), (1e-6, "0.000001"), (1e-7, "1e-7"), (1e21, "1e+21"),
                      (1e20, "100000000000000000000"), (-12.5, "-12.5"), (1.5e300, "1.5e+300"), (0.1, "0.1"),
                      (5e-324, "5e-324"), (123456.789, "123456.789")]:  # fmt: skip
    assert number(_value) == _text, (number(_value), _text)


class Tensor:
    """dtype, shape, values in row order."""

    def __init__(self, dtype, shape, values):
        self.dtype, self.shape = dtype, tuple(shape)
        assert len(values) == prod(shape), (shape, len(values))
        code, _ = FORMATS[dtype]
        values = [0.0 if v == 0 else v for v in values] if code != "B" else values  # no negative zeros
        self.bytes = struct.pack(f"<{len(values)}{code}", *values)
        if any(isnan(v) for v in values):
            size = FORMATS[dtype][1]
            parts = [self.bytes[i : i + size] for i in range(0, len(self.bytes), size)]
            self.bytes = b"".join(bytes.fromhex(NAN[dtype]) if isnan(v) else p for v, p in zip(values, parts))


def digest(case: str, tensors: dict) -> str:
    """SHA-256 over name, dtype, shape and bytes of each tensor, sorted by name, and then the case's text.

    A name, dtype or shape ends in a zero byte; the numbers of a shape are joined by commas.
    """
    hasher = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        shape = ",".join(map(str, tensor.shape))
        hasher.update(f"{name}\0{tensor.dtype}\0{shape}\0".encode())
        hasher.update(tensor.bytes)
    hasher.update(case.encode())
    return hasher.hexdigest()


def safetensors(case: str, tensors: dict) -> bytes:
    """One metadata key, tensors in the order of their names, the header padded with spaces to a multiple of 8."""
    header, offset = {"__metadata__": {"case": case}}, 0
    for name in sorted(tensors):
        tensor = tensors[name]
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(tensor.bytes)],
        }
        offset += len(tensor.bytes)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensors[name].bytes for name in sorted(tensors))
