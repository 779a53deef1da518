"""Command line of the figure score_distribution; see memflow.figures.score_distribution."""

from memflow.figures import adapter
from memflow.figures.score_distribution import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"summary": "architectures", "histogram": "architectures"}, table=table, draw=draw)
