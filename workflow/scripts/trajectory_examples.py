"""Command line of the figure trajectory_examples; see memflow.figures.trajectory_examples."""

from memflow.figures import adapter
from memflow.figures.trajectory_examples import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"halves": "families"}, table=table, draw=draw, pictures=True)
