"""Command line of the figure transitions; see memflow.figures.transitions."""

from memflow.figures import adapter
from memflow.figures.transitions import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"flows": "families"}, table=table, draw=draw)
