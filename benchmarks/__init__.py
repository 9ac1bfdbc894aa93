"""How fast nncore is, measured: ``python -m benchmarks``. README.md here says how to read what it prints."""
