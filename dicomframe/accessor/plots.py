"""Figures of a cohort, from a table alone or from what its rows' instances hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dicomframe.accessor.base import addresses, check_rows
from dicomframe.accessor.remote import RemoteMethods
from dicomframe.errors import QueryError, TableError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class PlotMethods(RemoteMethods):
    """Methods that draw numbers, not images. Each gives a matplotlib figure and leaves pyplot alone."""

    __slots__ = ()

    def counts(self, by: str = "modality", *, most: int = 20) -> Figure:
        """Draw how many rows there are of each modality, month, year, scanner, or value of any column.

        Parameters
        ----------
        by : str
            ``"modality"`` (Modality, else each of ModalitiesInStudy), ``"month"`` or ``"year"`` (of StudyDate),
            ``"scanner"`` (Manufacturer and ManufacturerModelName), or a column's name.
        most : int
            At most so many values have a bar of their own; the others are one bar.

        Returns
        -------
        matplotlib.figure.Figure
            Rows without a value are a hatched bar of their own. A row with several values counts for each of them.

        Raises
        ------
        TableError
            If the column is missing, holds sequences, or by month or year no dates.
        QueryError
            If `most` is below 1.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> df = dfr.from_json([{"00080060": {"vr": "CS", "Value": ["CT"]}}, {"00080060": {"vr": "CS"}}])
        >>> [axes] = df.dicom.counts().axes
        >>> [label.get_text() for label in axes.get_yticklabels()]
        ['CT', 'missing']
        """
        from dicomframe.images.plots.counts import draw_counts

        return draw_counts(self._table, by, most)

    def timeline(self, *, most: int = 30, labels: str | None = None) -> Figure:
        """Draw when each patient was examined: a line a patient, a mark for each modality of each study.

        Parameters
        ----------
        most : int
            At most so many patients, those with the most studies; the figure says how many are not drawn.
        labels : str, optional
            The column that names the patients. By default they are numbered, because pictures are shown around:
            ``"PatientID"`` and ``"PatientName"`` are drawn only where you ask for them.

        Returns
        -------
        matplotlib.figure.Figure
            Rows of one study are one study, whatever the table's level. Studies without a date are told in a note.

        Raises
        ------
        TableError
            If there is no PatientID, StudyInstanceUID or StudyDate, or no column of that name.
        QueryError
            If `most` is below 1.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     studies = local.connect().search_studies(fields=["ModalitiesInStudy"], limit=20).to_frame()
        ...     figure = studies.dicom.timeline(most=5)
        >>> len(figure.axes[0].get_yticks())
        5
        """
        from dicomframe.images.plots.timeline import draw_timeline

        return draw_timeline(self._table, most, labels)

    def missing(self, columns: Sequence[str] | None = None) -> Figure:
        """Draw where the table has no values: columns by rows (at most 200 bins of them), and the share of each.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns; all by default.

        Returns
        -------
        matplotlib.figure.Figure
            What could not be read (`issues` lists it) is told apart from what has no value: another ink, and crosses.

        Raises
        ------
        TableError
            If a column is missing.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> df = dfr.from_json([{"00200013": {"vr": "IS", "Value": ["one"]}}, {}])
        >>> len(df.dicom.missing(["InstanceNumber"]).axes)
        2
        """
        from dicomframe.images.plots.missing import draw_missing

        return draw_missing(self._table, columns)

    def histogram(
        self,
        *,
        by: str = "modality",
        limits: tuple[float, float] | None = None,
        log: bool = False,
        most: int = 7,
        progress: bool | str | None = None,
    ) -> Figure:
        """Draw how often each pixel value is in the rows' instances, in the modality's unit (PS3.3 C.11.1).

        All instances are retrieved, a few at a time; no more than those are in memory. The counts are exact, and
        `Client.collect_pixel_counts` gives them as numbers.

        Parameters
        ----------
        by : {"modality", "series"}
            What has a line of its own. Values of different units have axes of their own.
        limits : (float, float), optional
            The part to draw, in the modality's unit; bins are narrower then.
        log : bool
            Whether the axis of the numbers is logarithmic.
        most : int
            At most so many lines, those with the most pixels; the figure says how many are not drawn.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        matplotlib.figure.Figure
            Padding (Pixel Padding Value, PS3.3 C.7.5.1.1.2), colour images and what could not be read are left out, and
            a note says so. On an axis of Hounsfield units a few tissues are marked.

        Raises
        ------
        TableError
            If a UID column is missing, or a UID in it.
        QueryError
            If an argument is none of those accepted.
        NoClientError
            If the table does not know its service.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([dcmread(examples.get_path("ct"))])
        ...     figure = client.search_studies().to_frame().dicom.histogram()
        >>> figure.axes[0].get_xlabel()
        'pixel value, HU'
        """
        from dicomframe.images.plots.histogram import check_limits, draw_histogram
        from dicomframe.images.plots.page import check_most

        check_most(most)
        check_limits(limits)
        counts, notes = self._client.collect_pixel_counts(addresses(self._table), by, progress)
        return draw_histogram(counts, notes, limits, log, most)

    def waveforms(self, *, progress: bool | str | None = None) -> pd.DataFrame:
        """Retrieve and decode the waveforms (PS3.3 C.10.9) of each row's instance, a study's or series' middle one.

        Parameters
        ----------
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row a multiplex group: the three UIDs; ``group``, its number from 1; ``label``; ``channels`` and
            ``samples``, how many (Int64); ``frequency`` in Hz and ``duration`` in seconds (Float64); ``waveform``, a
            `dicomframe.images.waveforms.Waveform` with the samples in their units, shape (samples, channels), or
            missing; ``status``, ``"decoded"`` or ``"failed"``; ``error``, why.

        Raises
        ------
        TableError, NoClientError
            As for `histogram`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([dcmread(get_testdata_file("waveform_ecg.dcm", download=False))])
        ...     groups = client.search_instances().to_frame().dicom.waveforms()
        >>> groups[["group", "channels", "duration"]].to_numpy().tolist()
        [[1, 12, 10.0], [2, 12, 1.2]]
        >>> wave = groups["waveform"][0]
        >>> wave.channels[0], wave.units[0], wave.samples.shape
        ('Lead I (Einthoven)', 'uV', (10000, 12))
        """
        paths = addresses(self._table, distinct=False)
        return self._client.collect_waveforms(paths, progress)

    def plot_waveforms(self, group: int = 1, *, start: float = 0.0, seconds: float = 10.0) -> Figure:
        """Draw the waveforms of the one instance of this table.

        An electrocardiogram comes on ruled paper, 25 mm a second and 10 mm a millivolt where the figure is printed in
        its own size; of twelve leads, six are drawn in the first half of the time and six in the second, unless it is
        2.5 s or less. Anything else has a strip a channel, with its unit.

        Parameters
        ----------
        group : int
            The multiplex group, from 1.
        start, seconds : float
            Which part, in seconds; at most 60.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        TableError
            If the table is not one row, or lacks a UID.
        DecodeError
            If the instance has no waveforms, or they cannot be read.
        QueryError
            If there is no such group, or nothing in that part of it.
        NoClientError
            If the table does not know its service.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([dcmread(get_testdata_file("waveform_ecg.dcm", download=False))])
        ...     figure = client.search_instances().to_frame().dicom.plot_waveforms()
        >>> figure.axes[0].get_xlabel()[:17]
        'time, s      25 m'
        """
        from dicomframe.images.plots.waves import draw_waveform
        from dicomframe.images.waveforms import waveforms

        check_rows(self._table, "a figure of waveforms")
        paths = addresses(self._table)
        if len(paths) != 1:
            raise TableError(
                f"A figure of waveforms is of one instance, and this table names {len(paths)}. Choose a row:"
                " df.iloc[[0]].dicom.plot_waveforms()."
            )
        found = waveforms(self._client.retrieve_representative(paths[0]))
        if isinstance(group, bool) or not isinstance(group, int) or not 1 <= group <= len(found):
            raise QueryError(f"group= is a whole number from 1 to {len(found)}.")
        return draw_waveform(found[group - 1], start, seconds)
