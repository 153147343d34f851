"""Reading orders from CSV files as people have them."""

from pathlib import Path

import pytest

from soms.cli import order_file
from soms.errors import InvalidArgument


def written(folder: Path, text: str, name: str = "orders.csv") -> Path:
    """A file with that text."""
    file = folder / name
    file.write_bytes(text.encode())
    return file


def test_rows_become_orders(tmp_path: Path) -> None:
    """Rows of one order may stand anywhere; quotes, a byte order mark, blank rows and further columns do no harm."""
    file = written(tmp_path, '\ufefforder,sku,quantity,email,note\r\n7,"A, B",2,ann@example.org,\r\n8, C ,1,,x\r\n\r\n,,,,\r\n7,D,3,,\r\n')
    seven, eight = order_file.read(file)

    assert (seven.name, seven.lines, seven.email) == ("7", [("A, B", 2), ("D", 3)], "ann@example.org")
    assert (eight.name, eight.lines, eight.email) == ("8", [("C", 1)], None)


def test_keys_belong_to_file_and_order_names(tmp_path: Path) -> None:
    """The same file elsewhere, or with another quantity, has the same keys: an order is never placed twice by correcting a row."""
    (tmp_path / "other").mkdir()
    keys = [
        order_file.read(written(folder, f"order,sku,quantity\n1,A,{quantity}\n2,A,1\n", name))[0].key
        for folder, name, quantity in ((tmp_path, "a.csv", 1), (tmp_path / "other", "a.csv", 2), (tmp_path, "b.csv", 1))
    ]

    assert keys[0] == keys[1] != keys[2]
    assert len({order.key for order in order_file.read(tmp_path / "a.csv")}) == 2


def test_other_names_of_columns(tmp_path: Path) -> None:
    """A file need not be converted."""
    file = written(tmp_path, "InvoiceNo,StockCode,Quantity\n536365,85123A,-6\n")
    (order,) = order_file.read(file, order_file.columns("order=InvoiceNo,sku=StockCode,quantity=Quantity"))

    assert order.lines == [("85123A", -6)]  # the gateway refuses it, by name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order,sku,quantity\n1,A,1\n2,B,two\n", "line 3: 'two' is no whole number"),
        ("order,sku,quantity\n1,A\n", "line 2: '' is no whole number"),
        ("order;sku;quantity\n1;A;1\n", "no column order, sku, quantity, only order;sku;quantity"),
        ("", "no column order, sku, quantity"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """Nothing is sent of a file that has such a row."""
    with pytest.raises(InvalidArgument, match=message):
        order_file.read(written(tmp_path, text))


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    """A workbook is not a CSV file."""
    file = tmp_path / "orders.xlsx"
    file.write_bytes(b"PK\x03\x04\xff\xfe\x00")

    with pytest.raises(InvalidArgument, match=r"orders\.xlsx cannot be read"):
        order_file.read(file)


@pytest.mark.parametrize("text", ["order", "order=", "id=InvoiceNo", "=x"])
def test_names_of_columns_are_checked(text: str) -> None:
    """A slip of the pen is told, not ignored."""
    with pytest.raises(InvalidArgument, match="--columns wants OURS=THEIRS"):
        order_file.columns(text)
