"""The viewer of a table's series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dicomframe.accessor.base import TableBase, addresses, check_rows
from dicomframe.dicom.paths import ResourcePath
from dicomframe.dicom.words import did_you_mean
from dicomframe.errors import QueryError, TableError

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.client import Client
    from dicomframe.images.layers import Overlay, Overlays
    from dicomframe.images.windowing import WindowLike
    from dicomframe.widgets.browser import CohortBrowser
    from dicomframe.widgets.gallery import Gallery
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
        laid: Sequence[Overlay] = ()
        if isinstance(overlays, pd.DataFrame):
            laid = _overlays_of_table(overlays, source, registered=registered)
        elif overlays is not None:
            laid = overlays
        return Viewer(source, index=index, window=window, overlays=laid)

    def gallery(
        self,
        columns: Sequence[str] | None = None,
        *,
        size: int = 96,
        most: int = 50,
        progress: bool | str | None = None,
    ) -> Gallery:
        """Show the rows as a table with a thumbnail in front of each: a study or series by its middle instance.

        Parameters
        ----------
        columns : sequence of str, optional
            What is written beside each picture. By default modality, descriptions, date and the like, as far as the
            table has them; never a patient's name or identifier unless you ask for that column.
        size : int
            Pixels that a thumbnail has at most in each direction, 16 to 512.
        most : int
            At most this many rows are shown; the table says how many were left out. Pictures past 4 MB are left out
            of the HTML, so that the saved notebook stays small.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        dicomframe.widgets.gallery.Gallery
            It shows itself at the end of a cell, as HTML or as text. A row whose picture failed says why.

        Raises
        ------
        TableError
            If a column is missing, or a UID.
        QueryError
            If ``size`` or ``most`` is impossible.
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
        ...     client.search_series().to_frame().dicom.gallery(["Modality"], size=64)
          Modality  picture
        0       CT  64 x 64
        """
        from dicomframe.widgets.gallery import Gallery, shown_columns

        self._check_columns(columns)
        if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 512:
            raise QueryError("size= is a whole number of pixels from 16 to 512.")
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise QueryError("most= is a whole number of rows, at least 1.")
        rows = self._table.iloc[:most]
        pictures = rows.dicom.thumbnails(viewport=(size, size), progress=progress)
        left_out = len(self._table) - len(rows)
        note = f"{left_out} further rows are not shown (most={most})." if left_out else ""
        return Gallery(rows, pictures, shown_columns(rows) if columns is None else columns, note)

    def browse(self, columns: Sequence[str] | None = None, *, thumbnails: bool = True) -> CohortBrowser:
        """Open a browser over the rows, in a notebook: choose by modality, date, sex, age, scanner and description.

        Each facet counts the rows that the others let pass. Rows without a value are a choice of their own; none is
        lost because something was not recorded. Where there is no PatientAge, the age is that at the study, from
        PatientBirthDate.

        Parameters
        ----------
        columns : sequence of str, optional
            What the list of rows shows; by default as `gallery`.
        thumbnails : bool
            Whether the rows listed have pictures. Without a service there are none.

        Returns
        -------
        dicomframe.widgets.browser.CohortBrowser
            ``browser.selected`` is the table of the chosen rows, ``browser.attrition`` how they became fewer;
            ``browser.choose(modality="CT")`` sets the facets from Python.

        Raises
        ------
        TableError
            If a column is missing.

        Examples
        --------
        >>> import pandas as pd, dicomframe
        >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "F", None]}, dtype="string")
        >>> browser = table.dicom.browse()
        >>> browser.choose(modality="CT", sex="(missing)")
        >>> browser
        <CohortBrowser: 1 of 3 rows; Modality: CT; Sex: (missing)>
        >>> browser.attrition["rows"].tolist()
        [3, 2, 1]
        """
        from dicomframe.widgets.browser import CohortBrowser

        self._check_columns(columns)
        has_service = "service" in self._table.attrs.get("dicom", {})
        has_pictures = thumbnails and has_service and "StudyInstanceUID" in self._table.columns
        return CohortBrowser(self._table, _small_thumbnails if has_pictures else None, columns)

    def _check_columns(self, columns: Sequence[str] | None) -> None:
        if isinstance(columns, str):
            raise QueryError("columns= is a list of column names.")
        for name in columns or ():
            if name not in self._table.columns:
                advice = did_you_mean(str(name), self._table.columns)
                raise TableError(f"There is no column {str(name)[:64]!r} to show.{advice}")

    def _one_series(self) -> tuple[ResourcePath, list[str]]:
        """Give the address of the rows' one series, and the instances if the rows are instances."""
        check_rows(self._table, "a viewer")
        paths = addresses(self._table)
        below = [each for path in paths for each in _series_of(self._client, path)]
        found = list(dict.fromkeys(ResourcePath(path.study, path.series) for path in below))
        if len(found) != 1:
            raise TableError(
                f"A viewer shows one series, and these rows have {len(found) or 'none'}. Choose one:"
                " df.dicom.series().iloc[[0]].dicom.view()."
            )
        return found[0], [path.instance for path in below if path.instance is not None]


def _small_thumbnails(rows: pd.DataFrame) -> pd.DataFrame:
    thumbnails: pd.DataFrame = rows.dicom.thumbnails(viewport=(96, 96), progress=False)
    return thumbnails


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
