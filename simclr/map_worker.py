"""Entry point: the process that draws UMAP maps, `embeddings.umap_server`. Found by this name after an update."""

import sys

from simclr.embeddings.umap_server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
