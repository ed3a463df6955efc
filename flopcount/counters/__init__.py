"""Counters: modules by hooks or traced from shapes, and ONNX files from their graphs."""
