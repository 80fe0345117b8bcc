"""The same of many resources: pictures, frames, bulk data, pixels, waveforms in a table each, objects as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dicomframe.client import collect, counting
from dicomframe.client.addresses import addresses_of
from dicomframe.client.bulkdata import BulkRetriever
from dicomframe.client.datasets import datasets
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.frames import FrameRetriever
from dicomframe.client.picturecache import PictureCache
from dicomframe.client.rendered import Renderer, Wish

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.client.addresses import Addresses
    from dicomframe.dicom.paths import ResourcePath
    from dicomframe.images.tally import PixelCount
    from dicomframe.images.windowing import WindowLike


class CollectVerbs(ClientBase):
    """What the methods of ``df.dicom`` stand on: a bounded number of requests at a time, one outcome a row."""

    _frames: FrameRetriever
    _renderer: Renderer
    _pictures: PictureCache
    _bulkdata: BulkRetriever

    def collect_datasets(self, paths: Addresses, *, original: bool = False) -> Iterator[Dataset]:
        """Retrieve the objects of several resources as one stream, one at a time, as they are stored.

        What cannot be retrieved is passed over with a warning and told at the end, by an error: in a loop all others
        have been seen by then. `download` and `collect_pixels` have a row for each outcome instead.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances.
        original : bool
            Whether to give the objects as they were before all bulk updates.

        Yields
        ------
        pydicom.Dataset
            In the order of the resources. Read as it comes in; only one is held.

        Warns
        -----
        IncompleteRetrievalWarning
            When an object is passed over.

        Raises
        ------
        IncompleteRetrievalError
            At the end, if something was passed over. Its ``failed`` is as ``df.attrs["dicom"]["failed"]`` of
            `collect_metadata`, with one entry for each object that came and cannot be read.
        ServiceError, TransportError, DecodeError
            At once where there is one resource alone; at the end where nothing could be retrieved at all: the first
            failure.

        Examples
        --------
        >>> import warnings
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local, warnings.catch_warnings(action="ignore"):
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     try:
        ...         for dataset in client.collect_datasets([ResourcePath("1.2.3"), ResourcePath(*uids)]):
        ...             print(dataset.Modality)
        ...     except dfr.errors.IncompleteRetrievalError as error:
        ...         print(error)
        CT
        Of 2 resources, 1 could not be retrieved whole; the error's failed tells which, and why.
        """
        return datasets(self._retriever, _all(paths), original=original)

    def collect_rendered(
        self,
        paths: Addresses,
        window: WindowLike | None = None,
        viewport: tuple[int, int] | None = None,
        quality: int | None = None,
        media_type: str = "image/jpeg",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve pictures of several resources into one table; ``df.dicom.rendered`` documents it.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice has two rows.
        window, viewport, quality, media_type
            As for `retrieve_rendered`.
        progress : bool or "auto", optional
            By default the client's.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> path = ResourcePath(*uids)
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.collect_rendered([path])["status"].tolist()
        ['rendered']
        """
        wish = Wish.of(None, window, viewport, quality, media_type)
        return collect.pictures(
            self._retriever,
            self._renderer,
            self._pictures,
            _all(paths),
            wish,
            small=False,
            progress=self._bar(progress),
        )

    def collect_thumbnails(
        self,
        paths: Addresses,
        viewport: tuple[int, int] | None = None,
        media_type: str = "image/jpeg",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve thumbnails of several resources into one table; ``df.dicom.thumbnails`` documents it.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice has two rows.
        viewport, media_type
            As for `retrieve_thumbnail`.
        progress : bool or "auto", optional
            By default the client's.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> path = ResourcePath(*uids)
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.collect_thumbnails([path])["status"].tolist()
        ['rendered']
        """
        wish = Wish.of(viewport=viewport, media_type=media_type)
        return collect.pictures(
            self._retriever,
            self._renderer,
            self._pictures,
            _all(paths),
            wish,
            small=True,
            progress=self._bar(progress),
        )

    def collect_frames(
        self,
        paths: Addresses,
        frames: int | Sequence[int] | None = None,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve frames of several resources into one table; ``df.dicom.frames`` documents it.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice has two rows.
        frames : int or sequence of int, optional
            Frame numbers, from 1; all by default.
        progress : bool or "auto", optional
            By default the client's.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> path = ResourcePath(*uids)
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.collect_frames([path])["status"].tolist()
        ['decoded']
        """
        return collect.frames(self._retriever, self._frames, _all(paths), frames, self._bar(progress))

    def collect_bulkdata(
        self, paths: Addresses, element: str, progress: bool | str | None = None
    ) -> pd.DataFrame:
        """Retrieve an attribute's bytes from several resources into one table; ``df.dicom.bulkdata`` documents it.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice has two rows.
        element : str
            By tag or keyword, as ``path`` of `retrieve_bulkdata`.
        progress : bool or "auto", optional
            By default the client's.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> path = ResourcePath(*uids)
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.collect_bulkdata([path], "PixelData")["data"].str.len().tolist()
        [32768]
        """
        return collect.bulkdata(self._retriever, self._bulkdata, _all(paths), element, self._bar(progress))

    def collect_pixels(
        self,
        paths: Addresses,
        modality_lut: bool = False,
        progress: bool | str | None = None,
        *,
        suv: bool = False,
    ) -> pd.DataFrame:
        """Retrieve and decode several resources' pixels into one table; ``df.dicom.pixels`` documents it.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice has two rows.
        modality_lut : bool
            Whether to give values in the modality's unit (PS3.3 C.11.1) instead of those stored.
        progress : bool or "auto", optional
            By default the client's.
        suv : bool
            Whether to give PET values as SUVbw in g/ml.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> path = ResourcePath(*uids)
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.collect_pixels([path])["pixels"][0].shape
        (1, 128, 128)
        """
        return collect.pixels(
            self._retriever, _all(paths), modality_lut=modality_lut, suv=suv, progress=self._bar(progress)
        )

    def collect_pixel_counts(
        self, paths: Addresses, by: str = "modality", progress: bool | str | None = None
    ) -> tuple[list[PixelCount], list[str]]:
        """Count the pixel values of several resources' instances, in bounded memory; ``df.dicom.histogram`` draws them.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances.
        by : {"modality", "series"}
            What has a count of its own; each unit has one as well.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        counts : list of dicomframe.images.tally.PixelCount
            Values in the modality's unit (PS3.3 C.11.1) in bins: ``tally.edges``, ``tally.counts`` (int64).
        notes : list of str
            What was not counted, and why.

        Raises
        ------
        QueryError
            If `by` is none of those. An instance that fails does not raise; the notes tell of it.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     [count], notes = client.collect_pixel_counts([ResourcePath(ct.StudyInstanceUID)])
        >>> count.label, count.unit, int(count.tally.counts.sum())
        ('CT', 'HU', 16384)
        """
        return counting.pixel_counts(self._retriever, _all(paths), by, self._bar(progress))

    def collect_waveforms(self, paths: Addresses, progress: bool | str | None = None) -> pd.DataFrame:
        """Retrieve and decode several resources' waveforms into one table; ``df.dicom.waveforms`` documents it.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice has two rows.
        progress : bool or "auto", optional
            By default the client's.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> ecg = dcmread(get_testdata_file("waveform_ecg.dcm", download=False))
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ecg])
        ...     client.collect_waveforms([ResourcePath(ecg.StudyInstanceUID)])["label"].tolist()
        ['RHYTHM', 'MEDIAN BEAT']
        """
        return counting.waveform_table(self._retriever, _all(paths), self._bar(progress))


def _all(paths: Addresses) -> list[ResourcePath]:
    """Give the addresses one for one: what is named twice has two rows."""
    return addresses_of(paths, distinct=False)
