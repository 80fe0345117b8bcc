"""A lake: what a service holds as Delta tables in a folder, kept up to date from its change feed, each change once.

``lake``
    the object that users hold, ``sync`` and ``open_lake``.
``syncing``
    a batch of changes into the tables, so that it may be done twice and counts once.
``rows``
    changes to rows: instances as they came, series and studies made of their instances.
``delta``
    the one place that speaks to Delta tables.
"""
