"""Command line of the figure train_test_gap; see memflow.figures.train_test_gap."""

from memflow.figures import adapter
from memflow.figures.train_test_gap import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"epochs": "architectures"}, table=table, draw=draw)
