"""Measures manyhands and its peers side by side on one machine; `./scripts/bench` runs everything."""
