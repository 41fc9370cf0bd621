"""The reference: what the data were like when all was well, learned from them or read from SageMaker's two files.

statistics.json says what the data were, constraints.json what they ought to be. Both are SageMaker Model Monitor's.
"""
