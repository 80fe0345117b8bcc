"""WADO of what lies over a volume: segmentations, structure sets, doses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomframe.client.addresses import addresses_of
from dicomframe.client.facade.base import ClientBase
from dicomframe.dicom.paths import ResourcePath

if TYPE_CHECKING:
    from dicomframe.client.addresses import Addresses
    from dicomframe.images.layers import Overlays
    from dicomframe.images.volume import Volume


class OverlayVerbs(ClientBase):
    """Retrieval of segmentations, structure sets and doses, in the grid of a volume."""

    def retrieve_overlays(
        self,
        study_uid: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        *,
        onto: Volume,
        registered: bool = False,
    ) -> Overlays:
        """Retrieve segmentations, RT structure sets and RT doses, and lay them over a volume.

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            What to lay over it, at any level: of a study all its objects of these kinds.
        onto : Volume
            From `retrieve_volume`; its grid may be another, but not its frame of reference.
        registered : bool
            Lay them there although they name another frame of reference, or none: you know that the coordinates fit.

        Returns
        -------
        Overlays
            A list of `Overlay`: a bool mask for each segment and region of interest, float32 for a dose, all of the
            volume's shape. Its ``problems``, a table, has what could not be used, and why.

        Raises
        ------
        QueryError
            If a UID is malformed, or all objects lie in another frame of reference.
        NotFoundError
            If there is no such resource.
        DecodeError
            If none of the objects is a segmentation, structure set or dose, or none can be read.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.samples import cohort, planned_study, treatment_plan
        >>> study = planned_study()
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([*cohort([study]), *treatment_plan()])
        ...     series = client.search_series(study.uid, Modality="CT").to_frame()["SeriesInstanceUID"][0]
        ...     volume = client.retrieve_volume(study.uid, series)
        ...     overlays = client.retrieve_overlays(study.uid, onto=volume)
        >>> sorted({overlay.label for overlay in overlays})
        ['Body', 'Dose PLAN', 'Heart', 'Left lung', 'Nodule', 'PTV', 'Right lung']
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return self.collect_overlays([path], onto, registered=registered, progress=False)

    def collect_overlays(
        self,
        paths: Addresses,
        onto: Volume,
        *,
        registered: bool = False,
        progress: bool | str | None = None,
    ) -> Overlays:
        """Lay objects of several resources over one volume; ``df.dicom.overlays`` documents it.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them.
        onto, registered
            As for `retrieve_overlays`.
        progress : bool or "auto", optional
            By default the client's.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from dicomframe.samples import cohort, planned_study, treatment_plan
        >>> study, dose = planned_study(), treatment_plan()[2]
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([*cohort([study]), dose])
        ...     series = client.search_series(study.uid, Modality="CT").to_frame()["SeriesInstanceUID"][0]
        ...     volume = client.retrieve_volume(study.uid, series)
        ...     path = ResourcePath(study.uid, dose.SeriesInstanceUID)
        ...     [(overlay.label, overlay.unit) for overlay in client.collect_overlays([path], volume)]
        [('Dose PLAN', 'Gy')]
        """
        from dicomframe.client.overlaying import collect_overlays

        found = addresses_of(paths, distinct=False)
        return collect_overlays(
            self._retriever, found, onto, registered=registered, progress=self._bar(progress)
        )
