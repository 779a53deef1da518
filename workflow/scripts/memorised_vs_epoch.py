"""Command line of the figure memorised_vs_epoch; see memflow.figures.memorised_vs_epoch."""

from memflow.figures import adapter
from memflow.figures.memorised_vs_epoch import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"epochs": "architectures"}, table=table, draw=draw)
