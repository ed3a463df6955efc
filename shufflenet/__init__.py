"""ShuffleNet v1 and the structures it compares with: cost, module, proof, and widths for a budget.

``build`` and ``confirm`` need torch and load it on first use; everything else does without.
"""
