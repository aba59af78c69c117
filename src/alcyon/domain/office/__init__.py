"""The words of those who work with decisions: searching, cases, access, proposals, audit.

Frozen dataclasses, so that stores return them and the API shows them as they are. Times are UTC
milliseconds, amounts minor units.
"""
