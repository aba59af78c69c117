"""Files of transactions, labels, features and decisions: parquet, csv, jsonl, avro by suffix."""

from alcyon.io.files.reading import read, read_all, read_labels, read_lenient, read_transactions
from alcyon.io.files.writing import BatchWriter

__all__ = ["BatchWriter", "read", "read_all", "read_labels", "read_lenient", "read_transactions"]
