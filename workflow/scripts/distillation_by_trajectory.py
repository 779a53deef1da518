"""Command line of the figure distillation_by_trajectory; see memflow.figures.distillation_by_trajectory."""

from memflow.figures import adapter
from memflow.figures.distillation_by_trajectory import draw, table

if __name__ == "__main__":
    adapter.main(__doc__, inputs={"summary": "distillations"}, table=table, draw=draw)
