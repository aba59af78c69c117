"""The window kernel's machine code: Numba functions over one flat memory of 64-bit words.

Read in this order: `memory` (words, allocation, copy on write), `wide` (128-bit integers),
`hashing` (text to 128 bits), `table` (128 bits to a place), `measures` (what windows add
up), `timeline` (the events of one entity in event-time order, with sums), `growth` (how that
changes), `ledger` (transactions seen lately), `interner` (text to codes), `entity` (one transaction
against one entity), `ahead` (memory fetched early), `observe` (a batch against all).
"""
