"""Everything that README and docs claim with a number: evaluation, comparison, studies, their tables and figures.

May import every room of the testbed, the guard, profiles and what draws; nothing imports it but the commands.
"""
