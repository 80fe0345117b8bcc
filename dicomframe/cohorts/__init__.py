"""Cohorts: who is in a study and why the others are not, as steps to count, to draw, to write down and to repeat.

A cohort is a recipe, a list of steps, and what became of the rows at each of them. Nothing is asked of the service
until a result is wanted; each step is then done once, and what it took away is kept, with the reason.

``steps``
    one step as data, checked when it is made.
``matching``
    the filters of a search, applied to a typed table.
``running``
    what a step does with the rows: outcome, what was removed and why.
``sources``
    where rows come from: a service or a lake.
``stage``
    one step and, once it is done, what it left.
``recipe``
    steps as YAML and back.
``cohort``
    the object that users hold.
"""
