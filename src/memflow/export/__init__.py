"""A study's results in the file formats that other tools read."""
