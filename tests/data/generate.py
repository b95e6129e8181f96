"""Writes the Parquet files of this folder from the tables of golden models. Needs pyarrow.

    python tests/data/generate.py
"""

import pathlib

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parents[1] / "models"


def table(case):
    """A case's table as typed columns: zones are whole numbers, what is empty or NA is null."""
    types = {"size": pa.float64(), "weight": pa.float64(), "colour": pa.string(), "zone": pa.float64()}
    options = pyarrow.csv.ConvertOptions(
        column_types=types, null_values=["", "NA", "nan", "NaN"], strings_can_be_null=True
    )
    read = pyarrow.csv.read_csv(MODELS / case / "table.csv", convert_options=options)
    return read.set_column(read.schema.get_field_index("zone"), "zone", read["zone"].cast(pa.int16()))


def write(name, table, **options):
    """In another order of columns, with one that is no feature, in several row groups."""
    extra = table.append_column("note", pa.array(["x"] * table.num_rows))
    shuffled = extra.select(["zone", "note", "weight", "colour", "size"])
    pyarrow.parquet.write_table(shuffled, HERE / name, row_group_size=37, **options)


colours = table("xgboost/category_names")
at = colours.schema.get_field_index("colour")
write("dictionary.parquet", colours.set_column(at, "colour", colours["colour"].dictionary_encode()))
write("text.parquet", table("lightgbm/category_names"), compression="gzip", use_dictionary=False)
