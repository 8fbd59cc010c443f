"""The heads that tag words, one file each: the folder is the list.

A file defines one subclass of `WordHead` (`sequences.py`), which has the file's name.
"""
