"""Command line of the figure distillation_joint; see memflow.figures.distillation_joint."""

from memflow.figures import adapter
from memflow.figures.distillation_joint import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"pairs": "distillations"}, table=table, draw=draw)
