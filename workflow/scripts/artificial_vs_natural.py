"""Command line of the figure artificial_vs_natural; see memflow.figures.artificial_vs_natural."""

from memflow.figures import adapter
from memflow.figures.artificial_vs_natural import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"summary": "architectures", "epochs": "architectures"}, table=table, draw=draw)
