"""The audit: what people are told of each fact, and who may read the history of what. Source: E-3, U-6.

Everything in this folder decides what stands in the rows of the audit; when any of it changes, they are made anew.
"""
