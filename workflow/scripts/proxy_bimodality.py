"""Command line of the figure proxy_bimodality; see memflow.figures.proxy_bimodality."""

from memflow.figures import adapter
from memflow.figures.proxy_bimodality import draw, table

if __name__ == "__main__":
    inputs = {"summary": "proxied"}
    adapter.main(__doc__, inputs, table=table, draw=draw)
