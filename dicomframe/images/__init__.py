"""Pixels: decoding, windowing, montages."""
