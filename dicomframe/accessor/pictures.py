"""Pixels and pictures of a table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dicomframe.accessor.base import addresses, check_rows, for_each
from dicomframe.accessor.plots import PlotMethods
from dicomframe.dicom.words import did_you_mean
from dicomframe.errors import DicomFrameError, TableError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from pydicom import Dataset

    from dicomframe.client.client import Client
    from dicomframe.dicom.paths import ResourcePath
    from dicomframe.images.volume import Volume
    from dicomframe.images.windowing import WindowLike

#: More pictures than this in one figure cannot be told apart.
MOST_PICTURES = 48


class PictureMethods(PlotMethods):
    """Methods that look into the objects' pixels."""

    __slots__ = ()

    def pixels(
        self, *, modality_lut: bool = False, suv: bool = False, progress: bool | str | None = None
    ) -> pd.DataFrame:
        """Retrieve and decode the pixels of the rows' instances, several at a time, in order.

        Parameters
        ----------
        modality_lut : bool
            Give values in the modality's unit (Hounsfield for CT, PS3.3 C.11.1; Gy for a dose), as float64, instead
            of those stored.
        suv : bool
            Give PET values as SUVbw in g/ml, float64; what is no PET image, or lacks a tag that this takes, fails.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row an instance: the three UIDs; ``pixels``, an ndarray of shape (frames, rows, columns[, 3]), or
            missing; ``unit``, that of the values with `modality_lut` or `suv`, missing where they have none;
            ``status``, ``"decoded"`` or ``"failed"``; ``error``, why; ``reason``, which Real World Value
            Mappings were not applied to values in a unit.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     found = table.dicom.pixels(modality_lut=True)
        >>> found["pixels"][0].shape, found["unit"][0]
        ((1, 128, 128), 'HU')
        """
        paths = addresses(self._table)
        return self._client.collect_pixels(paths, modality_lut, progress, suv=suv)

    def volume(
        self, *, stack: int | None = None, suv: bool = False, progress: bool | str | None = None
    ) -> Volume:
        """Retrieve the one series of this table, or those of its instances that are rows, as a volume.

        Parameters
        ----------
        stack, suv, progress
            As for `Client.retrieve_volume`.

        Returns
        -------
        Volume
            Slices in order, in the modality's unit, with an affine to mm in the patient; ``problems`` tells what is
            not as a regular stack should be. `Client.retrieve_volume` has the details.

        Raises
        ------
        TableError
            If the rows are of several series, or of none; or a UID column is missing.
        QueryError, NotFoundError, DecodeError, ServiceError, TransportError, NoClientError
            As for `Client.retrieve_volume`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     series = local.connect().search_series(Modality="CT", limit=1).to_frame()
        ...     volume = series.dicom.volume()
        >>> volume.unit, volume.array.ndim, len(volume.problems)
        ('HU', 3, 0)
        """
        client = self._client
        check_rows(self._table, "a volume")
        paths = addresses(self._table)
        if paths and paths[0].level == "study":
            paths = addresses(self.series()) if len(paths) == 1 else paths
        found = list(dict.fromkeys((path.study, path.series) for path in paths))
        study, series = found[0] if len(found) == 1 else ("", None)
        if series is None:
            what = "studies" if paths and paths[0].level == "study" else "series"
            raise TableError(
                f"A volume is made of one series, and these rows are of {len(found)} {what}. Choose one:"
                " df[df['SeriesInstanceUID'] == uid].dicom.volume(), or df.dicom.series() to see what there is."
            )
        uids = [path.instance for path in paths if path.instance is not None]
        return client.retrieve_volume(study, series, uids or None, stack=stack, suv=suv, progress=progress)

    def rendered(
        self,
        *,
        window: WindowLike | None = None,
        viewport: tuple[int, int] | None = None,
        quality: int | None = None,
        media_type: str = "image/jpeg",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve a picture of each row: a study or series by its middle instance, an instance by its first frame.

        The client keeps the pictures (64 MB). Asked for again, one is given once the service has said that its instance
        has the same version still; from services that number no versions, none are kept.

        Parameters
        ----------
        window : (float, float), str or Window, optional
            Centre and width in the modality's unit, or the name of a preset for CT (``"lung"``); by default each
            picture's own.
        viewport : (int, int), optional
            Columns and rows to scale each picture into; its proportions are kept.
        quality : int, optional
            Of JPEGs, 1 to 100.
        media_type : {"image/jpeg", "image/png"}
            What the server is to send.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row a row of this table, with its index: the three UIDs of the instance drawn; ``picture``, a `Picture`
            of uint8, shape (rows, columns) or (rows, columns, 3), or missing; ``status``, ``"rendered"`` or
            ``"failed"``; ``source``, ``"server"`` or ``"local"``; ``reason``, why it was made here; ``error``.

        Raises
        ------
        TableError
            If a UID column is missing, or a UID in it.
        QueryError
            If an argument is malformed.
        NoClientError
            If the table does not know its service.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.rendered(viewport=(64, 64))["picture"][0].shape
        (64, 64)
        """
        table = self._client.collect_rendered(
            addresses(self._table, distinct=False), window, viewport, quality, media_type, progress
        )
        return table.set_axis(self._table.index)

    def thumbnails(
        self,
        *,
        viewport: tuple[int, int] | None = None,
        media_type: str = "image/jpeg",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve a small picture of each row; `rendered` has the parameters, the columns and the errors.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.thumbnails()["status"].tolist()
        ['rendered']
        """
        paths = addresses(self._table, distinct=False)
        table = self._client.collect_thumbnails(paths, viewport, media_type, progress)
        return table.set_axis(self._table.index)

    def frames(
        self, frames: int | Sequence[int] | None = None, *, progress: bool | str | None = None
    ) -> pd.DataFrame:
        """Retrieve and decode frames of each row's instance, a study's or series' middle one.

        Parameters
        ----------
        frames : int or sequence of int, optional
            Frame numbers, from 1; all by default.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row a row of this table, with its index: the three UIDs; ``frames``, a list of arrays of shape
            (rows, columns[, 3]), or missing; ``status``, ``"decoded"`` or ``"failed"``; ``error``, why.

        Raises
        ------
        TableError, QueryError, NoClientError
            As for `rendered`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.frames(1)["frames"][0][0].shape
        (128, 128)
        """
        paths = addresses(self._table, distinct=False)
        return self._client.collect_frames(paths, frames, progress).set_axis(self._table.index)

    def bulkdata(self, element: str, *, progress: bool | str | None = None) -> pd.DataFrame:
        """Retrieve an attribute's bytes from each row's instance, a study's or series' middle one.

        Parameters
        ----------
        element : str
            A keyword or tag, which is found wherever it stands, also inside sequences: ``"WaveformData"``. Or one
            place: ``"WaveformSequence/1/WaveformData"``.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row for each place where an instance has the attribute: the three UIDs; ``path``, the place by tags
            and item numbers; ``data``, bytes; ``status``, ``"retrieved"`` or ``"failed"``; ``source``, ``"server"``
            or ``"local"`` (taken from the whole instance); ``reason``; ``error``.

        Raises
        ------
        TableError, QueryError, NoClientError
            As for `rendered`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.bulkdata("PixelData")["data"].str.len().tolist()
        [32768]
        """
        return self._client.collect_bulkdata(addresses(self._table, distinct=False), element, progress)

    def plot(
        self,
        columns: int = 4,
        *,
        most: int = MOST_PICTURES,
        titles: str | Sequence[str] | None = None,
        window: WindowLike | None = None,
    ) -> Figure:
        """Draw a montage of the rows: a study or series by its middle instance, an instance by its first frame.

        Parameters
        ----------
        columns : int
            Pictures side by side.
        most : int
            At most this many rows are drawn; the figure says how many were left out.
        titles : str or sequence of str, optional
            A column of the table, or a text for each picture. By default modality, description and date; never a
            patient's name unless you ask for that column.
        window : (float, float), str or Window, optional
            Centre and width in the modality's unit, or the name of a preset for CT; by default each picture's own.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        QueryError
            If `columns` or `most` is no whole number from 1 on, `titles` are no texts or not as many as rows are drawn,
            or the window is impossible.
        TableError
            If there is no such column for the titles, or the table lacks UIDs.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     figure = table.dicom.plot()
        >>> len(figure.axes)
        1
        """
        from dicomframe.images.montage import check_titles, montage
        from dicomframe.images.plots.page import check_count

        check_count("columns", columns)
        check_count("most", most)
        table = self._table.iloc[:most]
        if isinstance(titles, str):
            if titles not in table.columns:
                advice = (
                    did_you_mean(titles, table.columns)
                    or " Titles may also be a list of texts, one a picture."
                )
                raise TableError(f"There is no column {titles[:64]!r} to take the titles from.{advice}")
            titles = table[titles].astype("string").fillna("").tolist()
        check_titles(titles, len(table))
        client = self._client
        rows = addresses(table, distinct=False)
        pictures = for_each(client, rows, partial(_representative, client), "Retrieving pictures")
        left_out = len(self._table) - len(table)
        note = f"{left_out} further rows are not drawn (most={most})" if left_out > 0 else None
        return montage(pictures, columns=columns, titles=titles, window=window, note=note)


def _representative(client: Client, path: ResourcePath) -> Dataset | DicomFrameError:
    """Retrieve the one instance that stands for a row; an error stands for itself."""
    try:
        return client.retrieve_representative(path)
    except DicomFrameError as error:
        return error
