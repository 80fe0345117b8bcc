"""The viewer of a table's series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dicomframe.accessor.base import TableBase, addresses
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import QueryError, TableError

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.client import Client
    from dicomframe.images.layers import Overlay, Overlays
    from dicomframe.images.windowing import WindowLike
    from dicomframe.widgets.series import SeriesSource
    from dicomframe.widgets.viewer import Viewer


class ViewingMethods(TableBase):
    """Methods that open widgets on the rows' pictures."""

    __slots__ = ()

    def view(
        self,
        *,
        index: int | None = None,
        window: WindowLike | None = None,
        overlays: pd.DataFrame | Sequence[Overlay] | None = None,
        registered: bool = False,
    ) -> Viewer:
        """Open a viewer on the rows' one series: scroll, window, read values, in a notebook.

        The slices are put in order by their places in the patient. The one to begin with is fetched at once, the
        others behind it, nearest first, once the viewer is shown.

        Parameters
        ----------
        index : int, optional
            The slice or frame to begin with, from 0; by default the middle one.
        window : (float, float), str or Window, optional
            Centre and width in the modality's unit, or the name of a preset for CT (``"lung"``); by default the
            picture's own.
        overlays : pandas.DataFrame or sequence of Overlay, optional
            What lies over the slices: a table of segmentations, structure sets and doses (SEG, RTSTRUCT, RTDOSE), or
            what ``df.dicom.overlays(volume)`` gave.
        registered : bool
            Lay the table's overlays there although they name another frame of reference.

        Returns
        -------
        dicomframe.widgets.viewer.Viewer
            It shows itself at the end of a cell. Its ``index``, ``center``, ``width`` and more can be read and set;
            ``snapshot()`` gives the picture shown; ``problems`` lists what of the overlays could not be used.

        Raises
        ------
        TableError
            If the rows are not of exactly one series, or a UID is missing.
        QueryError
            If there is no such slice, the window is impossible, or the overlays do not fit the series.
        NotFoundError
            If the series is not there.
        DecodeError
            If it holds no pictures, or the first cannot be decoded; the message names what would help.
        NoClientError
            If the table does not know its service.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     view = client.search_instances().to_frame().dicom.view(window="bone")
        >>> view
        <Viewer: CT 1 x 128 x 128, axial 0, window 400/1500 HU>
        >>> view.snapshot().shape
        (128, 128, 3)
        >>> view.close()
        """
        import pandas as pd

        from dicomframe.images.windowing import as_window
        from dicomframe.widgets.series import SeriesSource
        from dicomframe.widgets.viewer import Viewer

        window = as_window(window)
        series, instances = self._one_series()
        source = SeriesSource(self._client, series.study, str(series.series), instances, index)
        laid = overlays
        if isinstance(overlays, pd.DataFrame):
            laid = _overlays_of_table(overlays, source, registered=registered)
        return Viewer(source, index=index, window=window, overlays=laid or ())

    def _one_series(self) -> tuple[ResourcePath, list[str]]:
        """Give the address of the rows' one series, and the instances if the rows are instances."""
        paths = addresses(self._table)
        below = [each for path in paths for each in _series_of(self._client, path)]
        found = list(dict.fromkeys(ResourcePath(path.study, path.series) for path in below))
        if len(found) != 1:
            raise TableError(
                f"A viewer shows one series, and these rows have {len(found) or 'none'}. Choose one:"
                " df.dicom.series().iloc[[0]].dicom.view()."
            )
        return found[0], [path.instance for path in below if path.instance is not None]


def _series_of(client: Client, path: ResourcePath) -> list[ResourcePath]:
    if path.series is not None:
        return [path]
    series = client.search_series(path.study).to_frame()
    return [ResourcePath(path.study, uid) for uid in series["SeriesInstanceUID"]]


def _overlays_of_table(table: pd.DataFrame, source: SeriesSource, *, registered: bool) -> Overlays:
    """Retrieve a table's objects and lay them over the grid of a series."""
    grid = source.grid()
    if grid is None:
        raise QueryError(f"Overlays need slices that fill a grid. {source.look(0).note}".strip())
    laid: Overlays = table.dicom.overlays(grid, registered=registered)
    return laid
