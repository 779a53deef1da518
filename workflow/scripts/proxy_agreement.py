"""Command line of the figure proxy_agreement; see memflow.figures.proxy_agreement."""

from memflow.figures import adapter
from memflow.figures.proxy_agreement import draw, table

if __name__ == "__main__":
    inputs = {"agreement": "proxied"}
    adapter.main(__doc__, inputs, table=table, draw=draw)
