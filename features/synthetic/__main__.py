"""`python -m features.synthetic [FOLDER]` writes the small sample sets anew (default: data/synthetic)."""

import sys
from pathlib import Path

from features.synthetic import regenerate_samples

if __name__ == "__main__":
    for folder in regenerate_samples(Path(sys.argv[1] if len(sys.argv) > 1 else "data/synthetic")):
        sys.stdout.write(f"{folder}\n")
