"""WADO: frames, rendered pictures, thumbnails, volumes, WADO-URI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dicomframe.client.facade.base import ClientBase
from dicomframe.client.frames import FrameRetriever
from dicomframe.client.rendered import Renderer, Wish
from dicomframe.client.volumes import check_stack, retrieve_volume
from dicomframe.client.wadouri import OBJECT, check_content_type, retrieve_uri
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import QueryError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from dicomframe.images.picture import Picture
    from dicomframe.images.volume import Volume
    from dicomframe.images.windowing import WindowLike


class PictureVerbs(ClientBase):
    """Retrieval of parts of objects, and of pictures of them (PS3.18 sections 9 and 10.4)."""

    _frames: FrameRetriever
    _renderer: Renderer

    def retrieve_frames(
        self, study_uid: str, series_uid: str, instance_uid: str, frames: int | Sequence[int] | None = None
    ) -> list[NDArray[Any]]:
        """Retrieve and decode single frames (PS3.18 section 10.4.1.1.6), without the rest of the object.

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            The instance.
        frames : int or sequence of int, optional
            Frame numbers, from 1; all by default.

        Returns
        -------
        list of ndarray
            One for each number given, in that order: shape (rows, columns), or (rows, columns, 3) for colour, as RGB.
            The values are those stored, without rescale or window, as `dicomframe.images.pixels.pixels` gives them.

        Raises
        ------
        QueryError
            If a UID is malformed, or a frame number is no whole number from 1 on.
        NotFoundError
            If there is no such instance, or no such frame in it.
        UnexpectedAnswerError
            If the server sends fewer frames than were asked for, or others.
        DecodeError
            If there are no pixels, or they cannot be decoded.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     [frame] = client.retrieve_frames(*uids, frames=1)
        >>> frame.shape, str(frame.dtype)
        ((128, 128), 'int16')
        """
        return self._frames.frames(ResourcePath(study_uid, series_uid, instance_uid), frames)

    def retrieve_rendered(
        self,
        study_uid: str,
        series_uid: str,
        instance_uid: str,
        frame: int | None = None,
        window: WindowLike | None = None,
        viewport: tuple[int, int] | None = None,
        quality: int | None = None,
        media_type: str = "image/jpeg",
    ) -> Picture:
        """Retrieve an instance as a picture to look at (PS3.18 section 10.4.1.1.3).

        Where the server does not render, refuses, or does otherwise than asked, the picture is made here from the
        instance's pixels; ``picture.source`` and ``picture.reason`` say so. The cloud service ignores ``window`` and
        ``viewport``, so pictures with them are always made here. Of other servers, the first windowed picture is
        compared with one without window, and a viewport with the size that comes back.

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            The instance.
        frame : int, optional
            The frame's number, from 1; by default the first.
        window : (float, float), str or Window, optional
            Centre and width in the modality's unit (Hounsfield units for CT), or the name of a preset for CT:
            ``"brain"``, ``"lung"``, ``"bone"``, ``"soft tissue"``, … By default the image's own.
        viewport : (int, int), optional
            Columns and rows to scale the picture into; its proportions are kept.
        quality : int, optional
            Of the JPEG, 1 to 100. A picture that is made here has no losses.
        media_type : {"image/jpeg", "image/png"}
            What the server is to send.

        Returns
        -------
        Picture
            A numpy array of uint8, shape (rows, columns) or (rows, columns, 3) for RGB, with ``source``
            (``"server"`` or ``"local"``), ``media_type`` and ``reason``.

        Raises
        ------
        QueryError
            If an argument is malformed; of an unknown preset the message lists the known ones.
        NotFoundError
            If there is no such instance or frame.
        DecodeError
            If there are no pixels, or they cannot be decoded.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        ...     picture = client.retrieve_rendered(*uids, window="soft tissue", viewport=(64, 64))
        >>> picture.shape, str(picture.dtype)
        ((64, 64), 'uint8')
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return self._renderer.rendered(path, Wish.of(frame, window, viewport, quality, media_type))

    def retrieve_thumbnail(
        self,
        study_uid: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        frame: int | None = None,
        viewport: tuple[int, int] | None = None,
        media_type: str = "image/jpeg",
    ) -> Picture:
        """Retrieve a small picture (PS3.18 section 10.4.1.1.4).

        A server without thumbnails is asked for a rendered picture, which is scaled here to at most 200 by 200; one
        that renders nothing, for the instance.

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            What to show, at any level: a study by its largest series of pictures, a series by its middle instance.
        frame : int, optional
            The frame's number, from 1.
        viewport : (int, int), optional
            Columns and rows to scale the picture into; by default the server's choice.
        media_type : {"image/jpeg", "image/png"}
            What the server is to send.

        Returns
        -------
        Picture
            As for `retrieve_rendered`.

        Raises
        ------
        QueryError, NotFoundError, DecodeError
            As for `retrieve_rendered`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.retrieve_thumbnail(uids[0], viewport=(32, 32)).shape
        (32, 32)
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        wish = Wish.of(frame=frame, viewport=viewport, media_type=media_type)
        return self._renderer.thumbnail(self._retriever.representative_path(path), wish)

    def retrieve_volume(
        self,
        study_uid: str,
        series_uid: str,
        instance_uids: Sequence[str] | None = None,
        *,
        stack: int | None = None,
        suv: bool = False,
        progress: bool | str | None = None,
    ) -> Volume:
        """Retrieve a series as a volume: slices in order, in the modality's unit, and where they lie in the patient.

        Objects come several at a time, and each slice is written into one array as it arrives: memory is that of the
        array and of as many objects as there are workers.

        Parameters
        ----------
        study_uid, series_uid : str
            The series.
        instance_uids : sequence of str, optional
            Only these of its instances.
        stack : int, optional
            Which of several volumes at the same positions (echoes, times, b-values), from 1, as ``problems`` lists
            them. By default the first of those with most slices.
        suv : bool
            Give PET values as SUVbw in g/ml; see `dicomframe.images.suv.suv_factor`.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        Volume
            ``array`` of shape (slices, rows, columns), int16 or float32; ``affine`` from (slice, row, column, 1) to mm
            in the patient (PS3.3 C.7.6.2.1.1); ``unit``; ``slices``; and ``problems``, where unequal spacing, missing
            and doubled slices, and each frame or instance that was left out or could not be had is a row.

        Raises
        ------
        QueryError
            If a UID is malformed, or there is no such stack.
        NotFoundError
            If there is no such series.
        DecodeError
            If nothing in it has pixels and a place in the patient; or, with `suv`, a tag is missing.
        ServiceError, TransportError
            If no instance could be retrieved.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     volume = client.retrieve_volume(ct.StudyInstanceUID, ct.SeriesInstanceUID)
        >>> volume
        <Volume CT 1 x 128 x 128, 5 x 0.6615 x 0.6615 mm, int16 in HU, 1 problem: see .problems>
        """
        if isinstance(instance_uids, str):
            raise QueryError("instance_uids is a list of UIDs, not one text.")
        if instance_uids is None:
            paths = [ResourcePath(study_uid, series_uid)]
        else:
            paths = [ResourcePath(study_uid, series_uid, uid) for uid in instance_uids]
        if not paths:
            raise QueryError("instance_uids is empty; leave it out for the whole series.")
        check_stack(stack)
        return retrieve_volume(self._retriever, paths, stack=stack, suv=suv, progress=self._bar(progress))

    def retrieve_uri(
        self,
        study_uid: str,
        series_uid: str,
        instance_uid: str,
        content_type: str = OBJECT,
        *,
        frame: int | None = None,
        window: WindowLike | None = None,
        viewport: tuple[int, int] | None = None,
        quality: int | None = None,
        transfer_syntax: str | None = None,
        wado_url: str | None = None,
    ) -> Dataset | Picture:
        """Retrieve one instance by WADO-URI (PS3.18 section 9), which some systems still speak alone.

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            The instance.
        content_type : {"application/dicom", "image/jpeg", "image/png"}
            The object, or a picture of it.
        frame, window, viewport, quality
            Of a picture, as for `retrieve_rendered`; the server alone makes it.
        transfer_syntax : str, optional
            The UID of the transfer syntax wanted for the object; by default the server's choice, which the standard
            makes Explicit VR Little Endian.
        wado_url : str, optional
            Where the server's WADO-URI is, when it is not ``{client.url}/wado``: a path from the server's root
            (Orthanc: ``"/wado"``) or a URL at the same server.

        Returns
        -------
        pydicom.Dataset or Picture

        Raises
        ------
        QueryError
            If an argument is malformed or has no meaning for the content type.
        NotFoundError
            If there is no such instance or frame.
        NotBuiltError
            If the server has the instance but no WADO-URI there.
        ServiceError
            If the server refuses.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.retrieve_uri(*uids).Modality
        'CT'
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        kind = check_content_type(content_type)
        wish = Wish.of(frame, window, viewport, quality, "image/jpeg" if kind == OBJECT else kind)
        return retrieve_uri(self._retriever, path, kind, wish, transfer_syntax, wado_url)
