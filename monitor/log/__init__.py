"""The durable log: embedded (SQLite) or Kafka, with its records, topics and partitions."""
