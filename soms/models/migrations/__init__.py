"""Tortoise migrations, one package per schema; constraints are explicit (tortoise-orm#2272)."""
