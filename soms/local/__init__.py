"""The real engines on one machine, and the supervisor that runs them with every process of the Procfile."""
