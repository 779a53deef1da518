"""Command line of the figure score_distribution_by_epoch; see memflow.figures.score_distribution_by_epoch."""

from memflow.figures import adapter
from memflow.figures.score_distribution_by_epoch import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"histogram": "largest"}, table=table, draw=draw)
