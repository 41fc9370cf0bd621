"""`sidecar demo --fraud`: a model of card fraud, its labels late, and fraudsters who change their way."""
