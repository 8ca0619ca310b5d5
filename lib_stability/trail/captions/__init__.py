"""A training set as trainers have it: captions with their pictures, read from folders and lists of many kinds, each told by its content.

What makes no sense is named and passed over; the rest is read.
"""
