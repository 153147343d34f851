"""The REST gateway: JSON over HTTP in, gRPC out. Keeps no state and knows neither database nor Kafka."""
