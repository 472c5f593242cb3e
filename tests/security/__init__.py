"""Attacks by class, counted: ``make attack``, or ``python -m tests.security`` with the names of classes.

Invariant: an attack that gets through is counted as such, and named; none is left out because it is
known. A class is a module ``attack_name`` with a docstring, whose first line is its title, and one function::

    def run(attack: Attack) -> None: ...

which calls ``attack.tried(...)`` for every attempt. Where nothing shows by itself that the attempts would be
seen, some are made again within ``attack.control(...)``, without a defense: there at least one has to get through.
"""
