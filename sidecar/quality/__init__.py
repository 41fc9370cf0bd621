"""How good a model is, and to whom: numbers of rows whose labels have come, and estimates for those whose have not."""
