"""Runnable examples on data that ships with scikit-learn."""
