"""The tables of docs/from-keras.md are those of the code."""

import keras_tables
import pytest


@pytest.mark.parametrize("name", keras_tables.TABLES)
def test_the_page_has_the_tables(name):
    again = "the tables changed: run python tests/support/keras_tables.py"
    assert keras_tables.parts(name)[1] == keras_tables.TABLES[name](), again
