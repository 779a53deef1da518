"""Command line of the figure proxy_disagreement; see memflow.figures.proxy_disagreement."""

from memflow.figures import adapter
from memflow.figures.proxy_disagreement import draw, table

if __name__ == "__main__":
    inputs = {"proxies": "proxied", "halves": "proxied"}
    adapter.main(__doc__, inputs, table=table, draw=draw, pictures=True)
