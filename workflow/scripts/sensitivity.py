"""Command line of the figure sensitivity; see memflow.figures.sensitivity."""

from memflow.figures import adapter
from memflow.figures.sensitivity import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"sensitivity": "families"}, table=table, draw=draw)
