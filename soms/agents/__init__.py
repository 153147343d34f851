"""Kafka: topics, relay and the Faust agents. The only room that touches the broker."""
