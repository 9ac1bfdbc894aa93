"""CSV files as columns, columns as features: what is read, what is remembered, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nncore import problem
from nncore.datasets import columns as columns_module
from nncore.datasets.columns import Cell, Column, Kind, Numbers, Texts, read_columns
from nncore.datasets.schema import CategoryFeature, NumberFeature, Schema
from nncore.datasets.table import (
    check_columns,
    find_schema,
    mean_and_scale,
    read_target,
    training_choice,
)


def read(folder: Path, text: str, **kinds: Kind | None) -> dict[str, Column]:
    """The columns of a file with this text: those named, or all."""
    (folder / "t.csv").write_bytes(text.encode("utf-8"))
    return read_columns(folder / "t.csv", lambda names: kinds or dict.fromkeys(names))


def texts(column: Column) -> list[str | None]:
    """The texts of a column, row by row."""
    assert isinstance(column, Texts)
    return [None if code < 0 else column.values[code] for code in column.codes]


def numbers(column: Column) -> list[float]:
    """The numbers of a column, row by row."""
    assert isinstance(column, Numbers)
    return column.values.tolist()


# Reading.


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_delimiter(delimiter: str, end: str, tmp_path: Path) -> None:
    lines = ["a b", "c", "kind"], ["1", " 2.5", "x"], ["-3e1", "4", "y "], ["5", "6 ", "x"]
    found = read(tmp_path, end.join(delimiter.join(line) for line in lines))
    assert list(found) == ["a b", "c", "kind"]
    assert numbers(found["a b"]) == [1, -30, 5]
    assert numbers(found["c"]) == [2.5, 4, 6]
    assert texts(found["kind"]) == ["x", "y", "x"]


def test_byte_order_mark_quotes_and_blank_lines(tmp_path: Path) -> None:
    found = read(tmp_path, '\ufeff"a, the first",kind\n\n1,"x"\n2,"a ""y"""\n\n3,x\n4,"two\nlines"\n')
    assert numbers(found["a, the first"]) == [1, 2, 3, 4]
    assert texts(found["kind"]) == ["x", 'a "y"', "x", "two\nlines"]


def test_delimiters_within_quotes_do_not_count(tmp_path: Path) -> None:
    assert list(read(tmp_path, '"a,b,c,d";e\n1;2\n')) == ["a,b,c,d", "e"]


def test_only_what_is_chosen_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b,c\n1,x,inf\n2,y,inf\n", b=None, a="texts")
    assert list(found) == ["b", "a"]
    assert texts(found["a"]) == ["1", "2"]


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_pieces_of_any_size_give_the_same(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where texts turn up when numbers of a column have been read: those become texts, as they are written."""
    lines = [f"{i},{i % 3}.0,{'?' if i % 4 == 3 else i % 2},{'z' if i == 5 else i}" for i in range(8)]
    text = "a,b,c,d\n" + "\n".join(lines) + "\n"
    whole = read(tmp_path, text)
    monkeypatch.setattr(columns_module, "ROWS", rows)
    found = read(tmp_path, text)
    assert numbers(found["a"]) == list(range(8))
    assert numbers(found["b"]) == [0, 1, 2, 0, 1, 2, 0, 1]
    np.testing.assert_array_equal(numbers(found["c"]), [0, 1, 0, np.nan, 0, 1, 0, np.nan])
    assert texts(found["d"]) == ["0", "1", "2", "3", "4", "z", "6", "7"]
    assert found["c"].missing == whole["c"].missing == Cell(5, "?")
    assert isinstance(found["d"], Texts)
    assert found["d"].no_number == Cell(7, "z")
    assert isinstance(whole["d"], Texts)
    lines_of = zip((2, 3, 4, 5, 6, 8, 9, 7), "0123467z", strict=True)
    assert found["d"].firsts == whole["d"].firsts == tuple(Cell(line, text) for line, text in lines_of)


@pytest.mark.parametrize("cell", ["", "  ", "?", "NA", "n/a", "NaN", "nan", "-nan", "None", "NULL"])
def test_what_a_missing_value_looks_like(cell: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"a,b,c\n1,x,0\n{cell},{cell},0\n3,y,0\n{cell},{cell},0\n", a=None, b=None)
    np.testing.assert_array_equal(numbers(found["a"]), [1, np.nan, 3, np.nan])
    assert found["a"].missing == Cell(3, cell.strip())
    if cell != "-nan":  # a number of Python's, and so a text among texts
        assert texts(found["b"]) == ["x", None, "y", None]
        assert found["b"].missing == Cell(3, cell.strip())


@pytest.mark.parametrize("cell", ["1_000", "12,5", "0x10", "1 2", "--1", "1e", "true", "ten"])
def test_what_is_no_number(cell: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"a;b\n1;1\n{cell};2\n")
    assert texts(found["a"]) == ["1", cell]
    with pytest.raises(ValueError, match=r"t\.csv, line 3, column 'a': '.*', must be a number\."):
        read(tmp_path, f"a;b\n1;1\n{cell};2\n", a="numbers")


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999", "3.5e38", "-1e39"])
def test_a_number_must_fit(cell: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t\.csv, line 4, column 'a': '.*', must be a finite number of at most 3\.4e"):
        read(tmp_path, f"a,b\n1,1\n\n{cell},2\n")
    assert numbers(read(tmp_path, "a,b\n3.4e38,0\n-3.4e38,0\n")["a"]) == [3.4e38, -3.4e38]


# Features.


def schema_of(folder: Path, text: str, target: str = "y", impute: bool = False, train: object = slice(None)) -> Schema:
    """What is remembered of a file whose rows ``train`` are trained on."""
    path = folder / "t.csv"
    found = read(folder, text)
    check_columns(path, found, target, impute)
    y, classes = read_target(path, target, found.pop(target))
    return find_schema(path, found, target, classes, y, np.arange(len(y))[train], impute)


def samples(folder: Path, schema: Schema, text: str) -> np.ndarray:
    """The features of a file's rows."""
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return schema.samples(folder / "t.csv", read_columns(folder / "t.csv", schema.choose))


TABLE = "n,color,y\n1,red,a\n2,blue,b\n3,red,a\n6,green,b\n5,blue,a\n4,green,b\n"


def test_texts_become_a_feature_each(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, TABLE)
    assert schema.features == (NumberFeature("n"), CategoryFeature("color", ("blue", "green", "red")))
    assert (schema.target, schema.classes, schema.width) == ("y", ("a", "b"), 4)
    x = samples(tmp_path, schema, TABLE)
    assert x.dtype == np.float32
    assert x[:4].tolist() == [[1, 0, 0, 1], [2, 1, 0, 0], [3, 0, 0, 1], [6, 0, 1, 0]]


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, TABLE)
    other = "extra;color;n\nno;green;7\nno;red;-1\n"
    assert samples(tmp_path, schema, other).tolist() == [[7, 0, 1, 0], [-1, 0, 0, 1]]


def test_a_schema_survives_json(tmp_path: Path) -> None:
    for text in (TABLE, TABLE.replace("1,red", ",?"), TABLE.replace(",a", ",1.5").replace(",b", ",2e9")):
        schema = schema_of(tmp_path, text, impute=True)
        assert Schema.from_config(json.loads(json.dumps(schema.to_config()))) == schema


def test_what_is_imputed_is_learnt_from_the_training_part(tmp_path: Path) -> None:
    text = "n,color,y\n1,red,a\n,?,b\n3,red,a\n8,blue,b\n100,green,a\n100,green,b\n100,green,b\n"
    schema = schema_of(tmp_path, text, impute=True, train=slice(0, 4))
    assert schema.features == (
        NumberFeature("n", fill=4.0), CategoryFeature("color", ("blue", "green", "red"), fill="red"),
    )  # fmt: skip
    assert samples(tmp_path, schema, "n,color\nNA,\n2,blue\n").tolist() == [[4, 0, 0, 1], [2, 1, 0, 0]]


def test_numbers_float32_cannot_tell_apart_are_shifted(tmp_path: Path) -> None:
    """Seconds since 1970: float32 has every 128th of them."""
    start = 1_700_000_000
    text = "t,y\n" + "".join(f"{start + i},{'ab'[i % 2]}\n" for i in range(10))
    schema = schema_of(tmp_path, text)
    (feature,) = schema.features
    assert feature == NumberFeature("t", start + 4.5, float(np.std(np.arange(10))))
    x = samples(tmp_path, schema, text)
    np.testing.assert_allclose(x[:, 0], (np.arange(10) - 4.5) / np.std(np.arange(10)), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1e20])
def test_numbers_float32_cannot_square_are_scaled(scale: float, tmp_path: Path) -> None:
    values = scale * np.arange(10)
    text = "t,y\n" + "".join(f"{v!r},{'ab'[i % 2]}\n" for i, v in enumerate(values.tolist()))
    x = samples(tmp_path, schema_of(tmp_path, text), text)
    np.testing.assert_allclose(x[:, 0], (np.arange(10) - 4.5) / np.std(np.arange(10)), rtol=1e-6)


def test_a_column_of_one_value_is_not_scaled_by_rounding_errors() -> None:
    assert mean_and_scale(np.full(13, 0.3)) == (pytest.approx(0.3), 1.0)
    assert mean_and_scale(np.array([0, 1e-320]))[1] == 1.0


def test_numbers_are_standardised_by_a_layer_and_categories_are_not(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, TABLE)
    x = samples(tmp_path, schema, TABLE)[:4]
    layer = problem.standardisation(schema, x)
    assert layer.input_mean is not None
    assert layer.input_variance is not None
    np.testing.assert_allclose(layer.input_mean, [3, 0, 0, 0])
    np.testing.assert_allclose(layer.input_variance, [3.5, 1, 1, 1])


def test_standardisation_is_that_of_the_training_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"{v:.6f},{'ab'[i % 2]}\n" for i, v in enumerate(rng.normal(5, 3, 40)))
    (tmp_path / "t.csv").write_text("n,y\n" + rows)
    found = problem.load_table(tmp_path / "t.csv", "y")
    (layer,) = found.before
    assert (len(found.x_train), len(found.x_test)) == (32, 8)
    np.testing.assert_allclose(layer.input_mean, found.x_train.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.input_variance, found.x_train.var(0), rtol=1e-5)


@pytest.mark.parametrize(
    "text, message",
    [
        ("color\nred\n", r"there must be a column 'n', which the model was trained on\. Received: 'color'"),
        ("N,colour\n1,red\n", r"'n', which .* \(and 1 more that are not there\)\. Received: 'N', 'colour'"),
        ("n,color\n1,red\n2,pink\n", r"t\.csv, line 3, column 'color': unknown category 'pink'\. The .* 'blue', 'g"),
        ("n,color\n1,red\n2,Red\n", r"line 3, column 'color': unknown category 'Red'\. Did you mean 'red'"),
        ("n,color\n1,red\n,red\n", r"line 3, column 'n': the value is missing\..* --impute mean"),
        ("n,color\n1,red\n1,NA\n", r"line 3, column 'color': the value is missing \('NA'\)"),
        ("n,color\n1,red\nten,red\n", r"line 3, column 'n': 'ten', must be a number"),
        ("n,color\n", "must have lines of data"),
        ("", "is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_predicted_from(text: str, message: str, tmp_path: Path) -> None:
    schema = schema_of(tmp_path, TABLE)
    with pytest.raises(ValueError, match=message):
        samples(tmp_path, schema, text)


def test_the_first_unknown_category_of_the_file_is_named(tmp_path: Path) -> None:
    schema = schema_of(tmp_path, TABLE)
    with pytest.raises(ValueError, match="line 3, column 'color': unknown category 'zzz'"):
        samples(tmp_path, schema, "n,color\n1,red\n2,zzz\n3,aaa\n")


@pytest.mark.parametrize(
    "config",
    [
        None, [], {}, {"target": "y"}, "x",
        {"target": "y", "classes": None, "shift": 0, "unit": 1, "features": [{"kind": "images"}]},
        {"target": "y", "classes": [], "shift": 0, "unit": 1, "features": []},
        {"target": "y", "classes": [1], "shift": 0, "unit": 1, "features": []},
        {"target": "y", "classes": None, "shift": float("nan"), "unit": 1, "features": []},
        {"target": "y", "classes": None, "shift": 0, "unit": "1", "features": []},
        {"target": "y", "classes": None, "shift": 0, "unit": 1, "features": [{"kind": "numbers", "name": "n"}]},
        {"target": "y", "classes": None, "shift": 0, "unit": 1,
         "features": [{"kind": "texts", "name": "n", "categories": ["a"], "fill": "b"}]},
        {"target": "y", "classes": None, "shift": 0, "unit": 1,
         "features": [{"kind": "texts", "name": "n", "categories": ["a", "a"], "fill": None}]},
        {"target": "y", "classes": None, "shift": 0, "unit": 1,
         "features": [{"kind": "numbers", "name": "n", "shift": 0, "unit": 0, "fill": None}]},
        {"target": "y", "classes": None, "shift": 0, "unit": 1,
         "features": [{"kind": "numbers", "name": "y", "shift": 0, "unit": 1, "fill": None}]},
        {"target": "y", "classes": None, "shift": 0, "unit": 1,
         "features": 2 * [{"kind": "numbers", "name": "n", "shift": 0, "unit": 1, "fill": None}]},
    ],
)  # fmt: skip
def test_a_damaged_schema_is_refused(config: object) -> None:
    with pytest.raises(ValueError, match="what the model says of its table is damaged"):
        Schema.from_config(config)


def test_files_with_damage_are_read_or_refused(tmp_path: Path) -> None:
    """1,000 files with bytes changed, inserted and removed: a table, or a ``ValueError`` that begins with the path."""
    rng = np.random.default_rng(0)
    whole = (
        "\ufeffn,color,m,y\r\n" + "".join(f'{i},{"rgb"[i % 3]},"{i / 7:.3f}",{i % 2}\r\n' for i in range(40))
    ).encode()
    path, messages = tmp_path / "t.csv", []
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            place, byte = rng.integers(0, len(data)), int(rng.choice(list(b'\0",;\n\r\xff?_e-9 x')))
            data[place : place + rng.integers(0, 2)] = bytes([byte] * rng.integers(0, 2))
        path.write_bytes(data)
        try:
            found = problem.load_table(path, "y", impute=True)
        except ValueError as error:
            messages.append(str(error))
        else:
            assert np.isfinite(found.x_train).all()
            assert np.isfinite(found.x_test).all()
    assert 100 < len(messages) < 900
    assert [message for message in messages if not message.startswith(f"{path}")] == []


# The target.


@pytest.mark.parametrize(
    "answers, regression, classes, y",
    [
        ("2 10 2 10", False, ("2", "10"), [0, 1, 0, 1]),
        ("1.0 -1.0 1.0 -1.0", False, ("-1", "1"), [1, 0, 1, 0]),
        ("2 10 2 10", True, None, [2, 10, 2, 10]),
        ("2 10 2 10.5", False, None, [2, 10, 2, 10.5]),
        ("2 ten 2 ten", False, ("2", "ten"), [0, 1, 0, 1]),
        ("True False True False", False, ("False", "True"), [1, 0, 1, 0]),
    ],
)
def test_what_a_target_is(answers: str, regression: bool, classes: object, y: list[float], tmp_path: Path) -> None:
    found = read(tmp_path, "x,y\n" + "\n".join(f"1,{answer}" for answer in answers.split()))
    values, names = read_target(tmp_path / "t.csv", "y", found["y"], regression)
    assert names == classes
    assert values.tolist() == y


def test_numbers_that_are_names_of_classes(tmp_path: Path) -> None:
    cells = ["1.5", "2.5", "3A", "1.5", "2.5", "3A"]
    text = "x,y\n" + "".join(f"1,{cell}\n" for cell in cells)
    found = read(tmp_path, text)
    with pytest.raises(ValueError, match=r"line 4, column 'y': '3A' is no number.* --categorical 'y'"):
        check_columns(tmp_path / "t.csv", found, "y", False)
    found = read(tmp_path, text, x=None, y="texts")
    check_columns(tmp_path / "t.csv", found, "y", False)
    y, classes = read_target(tmp_path / "t.csv", "y", found["y"])
    assert (y.tolist(), classes) == ([0, 1, 2, 0, 1, 2], ("1.5", "2.5", "3A"))


def test_the_truth_of_another_file(tmp_path: Path) -> None:
    schema = Schema("y", (NumberFeature("n"),), classes=("1", "2", "x"))
    found = read(tmp_path, "n,y\n0,2\n0,x\n0,\n0,1.0\n0,7\n", y="texts")
    truth = schema.truth(found)
    assert truth is not None
    assert truth.tolist() == [1, 2, -1, 0, 3]
    assert schema.truth({}) is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"target": "z"}, "Unknown target column: 'z'"),
        ({"drop": ["q"]}, "Unknown column of --drop: 'q'"),
        ({"categorical": ["q"]}, "Unknown column of --categorical: 'q'"),
        ({"drop": ["y"]}, "--drop: the column must not be the target. Received: 'y'"),
        ({"drop": ["a", "b"]}, "there must be a column besides the target 'y'"),
        ({"names": ["a", "", "y"]}, "every column must have a name. Received: none for column 2"),
    ],
)
def test_what_cannot_be_chosen(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training_choice(**{"names": ["a", "b", "y"], "target": "y", **options})  # type: ignore[arg-type]
    assert training_choice(["a", "b", "y"], "y", ["b"], ["a"]) == {"a": "texts", "y": None}


def test_too_many_categories(tmp_path: Path) -> None:
    rows = "".join(f"id{i},{'ab'[i % 2]}\n" for i in range(40))
    with pytest.raises(ValueError, match=r"'n': 40 different texts in 40 lines are too many .* leave .* --drop 'n'"):
        schema_of(tmp_path, "n,y\n" + rows)
    rows = "".join(f"id{i % 1001},{'ab'[i % 2]}\n" for i in range(3000))
    with pytest.raises(ValueError, match="'n': 1,001 different texts in 3,000 lines"):
        schema_of(tmp_path, "n,y\n" + rows)


@pytest.mark.parametrize("cell", ["ten", "1O", "12,5", "-"])
def test_a_column_of_numbers_with_a_mistake_is_no_column_of_categories(cell: str, tmp_path: Path) -> None:
    text = "n,y\n" + "".join(f"{i % 5},{'ab'[i % 2]}\n" for i in range(30)) + f'"{cell}",a\n'
    message = f"t.csv, line 32, column 'n': '{cell}' is no number, and most others in it are. Mend it"
    with pytest.raises(ValueError, match=re.escape(message)):
        schema_of(tmp_path, text)
    found = read(tmp_path, text, n="texts")
    check_columns(tmp_path / "t.csv", {**found, "y": Texts(np.zeros(31), ("a",), ())}, "y", False)


def test_decimal_commas_are_no_categories(tmp_path: Path) -> None:
    text = "n;y\n" + "".join(f"{i % 5},5;{'ab'[i % 2]}\n" for i in range(30))
    with pytest.raises(ValueError, match=r"line 2, column 'n': '0,5' is no number.* \(a decimal comma must be"):
        schema_of(tmp_path, text)


def test_a_column_without_any_value_to_train_on(tmp_path: Path) -> None:
    text = "n,m,y\n,1,a\n,1,b\n,1,a\n2,1,b\n"
    with pytest.raises(ValueError, match="column 'n': no line to train on has a value"):
        schema_of(tmp_path, text, impute=True, train=slice(0, 3))


def test_a_missing_target_is_an_error_with_imputation_too(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"line 4, column 'y': the value is missing\. Fill it in, or remove the line\."
    ):
        schema_of(tmp_path, "n,y\n,a\n1,b\n2,\n3,a\n", impute=True)
