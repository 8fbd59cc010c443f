"""The inputs of exported files, by the kind of a task's examples (`data.modality`).

A file of texts takes word pieces, at several lengths, and needs a vocabulary beside it; a file of
arrays takes their numbers as they are.
"""
