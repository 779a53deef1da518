"""Auditing a study: where did this number come from, is it still true, can it be made again?"""
