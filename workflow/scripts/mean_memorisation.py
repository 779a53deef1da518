"""Command line of the figure mean_memorisation; see memflow.figures.mean_memorisation."""

from memflow.figures import adapter
from memflow.figures.mean_memorisation import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"summary": "drawn"}, table=table, draw=draw)
