"""The domain: what users, products and orders are and may do, in PostgreSQL. Knows no transport."""
