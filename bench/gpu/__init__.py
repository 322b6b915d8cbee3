"""What `bench/gpu.py` is made of.

- run: the clock, the program, the results as they come; models: folders to load
- found, parity, residency, speed: the four steps; table: the page
"""
