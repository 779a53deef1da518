"""Command line of the figure memorised_vs_size; see memflow.figures.memorised_vs_size."""

from memflow.figures import adapter
from memflow.figures.memorised_vs_size import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"thresholds": "architectures"}, table=table, draw=draw)
