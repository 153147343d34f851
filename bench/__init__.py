"""Measurements of SOMS on one machine; figures, never verdicts. `make bench`."""
