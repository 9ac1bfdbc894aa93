"""The C functions of exported files, taken from where they are written.

``ops.h`` beside this module has the ops in plain C. What the elementwise activations compute, and exp, log and their
like, is written once, for the kernels: in ``math.h`` and ``activations.def`` of ``src/kernels``, over the vectors of
``src/vec.h``. A vector of one lane is a float: read so, ``vec_mul(a, vec_set1(2))`` is ``a * 2.0f``. A wheel has copies
of these two files beside this module.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from nncore import ops

HERE = Path(__file__).parent
KERNELS = HERE.parents[2] / "src" / "kernels"

TIGHTNESS = ("choice", "comparison", "sum", "product", "sign", "atom")
"""How tightly expressions hold together, from the loosest on."""

OPERATIONS = {
    "vec_add": ("sum", "{0:sum} + {1:product}"),
    "vec_sub": ("sum", "{0:sum} - {1:product}"),
    "vec_mul": ("product", "{0:product} * {1:atom}"),
    "vec_div": ("product", "{0:product} / {1:atom}"),
    "vec_neg": ("sign", "-{0:atom}"),
    "vec_abs": ("atom", "fabsf({0})"),
    "vec_sqrt": ("atom", "sqrtf({0})"),
    "vec_round": ("atom", "rintf({0})"),
    "vec_copysign": ("atom", "copysignf({0}, {1})"),
    "vec_fma": ("atom", "FMA({0}, {1}, {2})"),
    "vec_fnma": ("atom", "FMA(-{0:atom}, {1}, {2})"),
    "vec_max": ("atom", "larger({0}, {1})"),
    "vec_min": ("atom", "smaller({0}, {1})"),
    "vec_ldexp": ("atom", "times_power_of_2({0}, {1})"),
    "vec_exponent": ("atom", "exponent_of({0})"),
    "vec_mantissa": ("atom", "mantissa_of({0})"),
    "vec_lt": ("comparison", "{0:sum} < {1:sum}"),
    "vec_le": ("comparison", "{0:sum} <= {1:sum}"),
    "vec_eq": ("comparison", "{0:sum} == {1:sum}"),
    "vec_not": ("sign", "!{0:atom}"),
    "vec_and_cond": ("atom", "({0:sum} && {1:sum})"),
    "vec_select": ("choice", "{0:comparison} ? {1:comparison} : {2:comparison}"),
    "vec_zero": ("atom", "0.0f"),
    "vec_set1": ("", "{0}"),
    "NUMBER": ("", "{0}"),
}
"""The operations of ``vec.h`` as expressions of floats, and how tightly these hold together."""

NAMES = {"vec": "float", "real": "float", "vec_cond": "int", "INLINE": "static inline"}
"""Words that are others in plain C. What else starts with ``vec_`` starts with ``nn_`` there."""

ASCII = str.maketrans({"²": "^2", "³": "^3", "√": "sqrt ", "±": "+-", "≤": "<=", "≥": ">=", "…": "...", "·": " "})

ITEM = re.compile(
    r"^(?P<comment>/\*(?:(?!\*/).)*\*/\n)?(?P<code>"
    r"#define (?P<macro>\w+)[^\n]*"
    r"|static const \w+ (?P<table>\w+)\[\] = \{[^}]*\};"
    r"|typedef union \{[^}]*\} (?P<type>\w+);"
    r"|(?:INLINE|static)[^\n(]* (?P<function>\w+)\([^{]*(?:\{ [^\n]* \}|\{\n.*?^\}))$",
    re.MULTILINE | re.DOTALL,
)


class Expression:
    """A C expression, in parentheses where it is formatted as one that must hold together more tightly."""

    def __init__(self, text: str, tightness: str) -> None:
        self.text = text
        self.tightness = tightness

    def __format__(self, least: str) -> str:
        loose = least and TIGHTNESS.index(self.tightness) < TIGHTNESS.index(least)
        return f"({self.text})" if loose else self.text


def plain(code: str) -> str:
    """Code over vectors as code over floats."""
    code = re.sub(r"\w+", lambda word: NAMES.get(word[0], word[0]), _floats(code))
    return re.sub(r"\bvec_", "nn_", code)


def _floats(code: str) -> str:
    """The calls of ``OPERATIONS`` in ``code`` as expressions."""
    result, at = "", 0
    for call in re.finditer(r"(\w+)\(", code):
        if call.start() < at:
            continue
        if call[1] in OPERATIONS:
            end = _closing(code, call.end())
            result += code[at : call.start()] + _operation(call[1], code[call.end() : end - 1]).text
            at = end
    return result + code[at:]


def _operation(name: str, arguments: str) -> Expression:
    tightness, form = OPERATIONS[name]
    operands = [_expression(argument) for argument in _split(arguments, ",")]
    if tightness:
        return Expression(form.format(*operands), tightness)
    (number,) = operands
    if re.fullmatch(r"-?\d+", number.text):
        return Expression(f"{number.text}.0f", number.tightness)
    if re.fullmatch(r"-?(\d+\.\d+|0x[\da-f.]+p-?\d+)", number.text):
        return Expression(f"{number.text}f", number.tightness)
    return number


def _expression(code: str) -> Expression:
    code = code.strip()
    call = re.match(r"(\w+)\(", code)
    whole = call is not None and _closing(code, call.end()) == len(code)
    if call is not None and whole and call[1] in OPERATIONS:
        return _operation(call[1], code[call.end() : -1])
    if whole or re.fullmatch(r"[\w.]+(\[\w+\])?|0x[\da-f.]+p[-+]?\d+f?", code):
        return Expression(_floats(code), "atom")
    return Expression(_floats(code), "sign" if re.fullmatch(r"-[\w.]+", code) else "choice")


def _closing(code: str, at: int) -> int:
    """Behind the parenthesis that closes the one before ``at``."""
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        at += 1
    return at


def _split(code: str, separator: str) -> list[str]:
    """The parts of ``code`` between separators that are in no parentheses."""
    parts, depth = [""], 0
    for c in code:
        depth += {"(": 1, ")": -1}.get(c, 0)
        if c == separator and not depth:
            parts.append("")
        else:
            parts[-1] += c
    return parts if code.strip() else []


def _items(text: str) -> dict[str, str]:
    """Macros, tables, types and functions of a header in plain C, by name, with their comments."""
    found = {}
    for item in ITEM.finditer(text):
        name = next(item[kind] for kind in ("macro", "table", "type", "function") if item[kind])
        found[plain(name)] = (item["comment"] or "").translate(ASCII) + plain(item["code"])
    return found


ACTIVATION = """\
static void op_{name}(float *to, const float *from, int m{parameters})
{{
    for (int i = 0; i < m; i++) {{
        const float x = from[i];
{statements}
        to[i] = y;
    }}
}}"""


def _activations(text: str) -> dict[str, str]:
    """The functions of ``activations.def``."""
    found = {}
    for entry in re.finditer(r"^ACTIVATION\(op_(\w+),", text, re.MULTILINE):
        op = ops.get(entry[1])
        letters = "abc"[: len(op.attributes)]
        comment = (op.body.__doc__ or "").split("\n")[0].rstrip(".")
        if letters:
            comment += f"; {', '.join(letters)}: {', '.join(op.attributes)}"
        statements = _split(text[entry.end() : _closing(text, entry.end()) - 1], ";")
        function = ACTIVATION.format(
            name=op.name,
            parameters="".join(f", float {letter}" for letter in letters),
            statements="\n".join(f"        {plain(' '.join(statement.split()))};" for statement in statements),
        )
        comment = textwrap.fill(f"/* {comment} */".translate(ASCII), 120, subsequent_indent="   ")
        found[f"op_{op.name}"] = f"{comment}\n{function}"
    return found


@cache
def items() -> dict[str, str]:
    """Everything there is, by name."""
    math, activations = ((HERE if (HERE / name).exists() else KERNELS) / name for name in ("math.h", "activations.def"))
    return {
        **_items(math.read_text(encoding="utf-8")),
        **_items((HERE / "ops.h").read_text(encoding="utf-8")),
        **_activations(activations.read_text(encoding="utf-8")),
    }


def translated() -> set[str]:
    """The ops that have a function."""
    return {name.removeprefix("op_") for name in items() if name.startswith("op_")}


def functions(wanted: Iterable[str]) -> str:
    """The functions of some ops, behind all that they need."""
    known, done = items(), dict[str, str]()

    def take(name: str) -> None:
        if name in known and name not in done:
            text = known[name]
            for word in re.findall(r"[A-Za-z_]\w*", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)):
                if word != name:
                    take(word)
            done[name] = text

    for op in wanted:
        take(f"op_{op}")
    return "\n\n".join(done.values())
