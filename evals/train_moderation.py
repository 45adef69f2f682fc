"""Learn the weights of `conversations/likeness.py` from the labelled lines.

    pip install scikit-learn
    python evals/train_moderation.py

Reads `evals/moderation.tuned.jsonl`, prints what ten-fold cross-validation gives, and writes the weights. Deterministic.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from scipy.sparse import csr_matrix  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import StratifiedKFold, cross_val_predict  # noqa: E402

from conversations.likeness import CLASSES, WEIGHTS, features  # noqa: E402

LINES = ROOT / "evals" / "moderation.tuned.jsonl"
#: A feature that stands in fewer lines teaches nothing.
RAREST = 2
KEPT = 24_000
STRENGTH = 10.0
OF = {True: "client", False: "foreign", None: "open"}


def main() -> None:
    rows = [json.loads(line) for line in LINES.read_text().splitlines() if line.strip()]
    found = [features(row["contact"], row["messages"]) for row in rows]
    counted = Counter(feature for one in found for feature in one)
    known = {feature: n for n, feature in enumerate(sorted(f for f, count in counted.items() if count >= RAREST))}
    matrix, kinds = table(found, known), np.array([OF[row["expected"]] for row in rows])
    model = LogisticRegression(C=STRENGTH, max_iter=5000, class_weight="balanced")
    folds = StratifiedKFold(10, shuffle=True, random_state=1)
    guessed = cross_val_predict(model, matrix, kinds, cv=folds)
    sys.stdout.write(f"{len(rows)} lines, {len(known)} features, ten-fold accuracy {np.mean(guessed == kinds):.3f}\n")
    model.fit(matrix, kinds)
    assert tuple(model.classes_) == CLASSES
    write(model, known)


def table(found: list[set[str]], known: dict[str, int]) -> Any:
    """Binary features, each line of length one."""
    places = [[known[f] for f in one if f in known] for one in found]
    values = [1 / np.sqrt(len(one) or 1) for one, at in zip(found, places, strict=True) for _ in at]
    rows = [n for n, at in enumerate(places) for _ in at]
    return csr_matrix((values, (rows, [p for at in places for p in at])), shape=(len(found), len(known)))


def write(model: Any, known: dict[str, int]) -> None:
    weights = model.coef_.T
    strongest = sorted(known, key=lambda f: -np.abs(weights[known[f]]).max())[:KEPT]
    kept = {f: [round(float(w), 2) for w in weights[known[f]]] for f in sorted(strongest)}
    text = json.dumps({"bias": [round(float(b), 3) for b in model.intercept_], "weights": kept}, ensure_ascii=False)
    WEIGHTS.write_bytes(gzip.compress(text.encode(), mtime=0))
    sys.stdout.write(f"{len(kept)} weights, {WEIGHTS.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
