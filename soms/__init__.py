"""SOMS, the Smart Order Management System."""
