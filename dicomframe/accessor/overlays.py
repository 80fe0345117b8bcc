"""What lies over a volume, and three planes through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dicomframe.accessor.base import addresses
from dicomframe.accessor.pictures import PictureMethods
from dicomframe.errors import TableError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dicomframe.images.layers import Overlay, Overlays
    from dicomframe.images.volume import Volume
    from dicomframe.images.windowing import WindowLike


class OverlayMethods(PictureMethods):
    """Methods that lay segmentations, structures and doses over a volume."""

    __slots__ = ()

    def overlays(
        self, onto: Volume, *, registered: bool = False, progress: bool | str | None = None
    ) -> Overlays:
        """Retrieve the rows' segmentations, RT structure sets and RT doses, and lay them over a volume.

        Parameters
        ----------
        onto : Volume
            From `volume`, of the images that they were drawn on.
        registered : bool
            Lay them there although they name another frame of reference, or none: you know that the coordinates fit.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        Overlays
            A list of `Overlay`: a bool mask for each segment and region of interest, float32 for a dose, all of the
            volume's shape. Its ``problems``, a table, has what could not be used, and why: also rows that are no
            such objects, or could not be retrieved.

        Raises
        ------
        TableError
            If a UID column is missing, or a UID in it.
        NoClientError
            If the table does not know its service.
        QueryError, DecodeError, ServiceError
            Why the first object could not be used, if none could.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.samples import cohort, planned_study, treatment_plan
        >>> study = planned_study()
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([*cohort([study]), *treatment_plan()])
        ...     series = client.search_series(study.uid).to_frame()
        ...     volume = series[series["Modality"] == "CT"].dicom.volume()
        ...     overlays = series[series["Modality"] == "RTSTRUCT"].dicom.overlays(volume)
        >>> [overlay.label for overlay in overlays]
        ['Body', 'Right lung', 'Left lung', 'Heart', 'Nodule', 'PTV']
        >>> overlays.problems[["label", "what"]].to_numpy().tolist()
        [['Isocentre', 'point']]
        """
        return self._client.collect_overlays(
            addresses(self._table), onto, registered=registered, progress=progress
        )

    def planes(
        self,
        at: Sequence[float] | None = None,
        *,
        window: WindowLike | None = None,
        overlays: pd.DataFrame | Sequence[Overlay] | None = None,
        isodoses: Sequence[float] | None = None,
        registered: bool = False,
        title: str | None = None,
        progress: bool | str | None = None,
    ) -> Figure:
        """Draw the axial, coronal and sagittal plane of the table's one series, with what lies over it.

        Parameters
        ----------
        at : three floats, optional
            x, y, z in mm of the patient, where the planes cross. By default the middle of the smallest mask, else the
            place of the largest dose, else the middle of the volume.
        window : (float, float), str or Window, optional
            Centre and width in the modality's unit, or the name of a preset for CT; by default the images' own.
        overlays : pandas.DataFrame or sequence of Overlay, optional
            A table of segmentations, structure sets and doses, or what `overlays` gave.
        isodoses : sequence of float, optional
            In the dose's unit (Gy); by default 20, 50, 80 and 95 percent of its largest value in the volume.
        registered : bool
            As for `overlays`.
        title : str, optional
            Above the planes; never a patient's name unless you write it.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        matplotlib.figure.Figure
            Axes in mm, all three on one scale; letters for right, left, anterior, posterior, head and feet.

        Raises
        ------
        TableError
            If the table holds other than one series of images, or `overlays` is no table of objects.
        QueryError, NoClientError
            As for `overlays`; if the place lies outside the volume, or an argument is malformed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.samples import cohort, planned_study, treatment_plan
        >>> study = planned_study()
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([*cohort([study]), *treatment_plan()])
        ...     series = client.search_series(study.uid).to_frame()
        ...     dose = series[series["Modality"] == "RTDOSE"]
        ...     figure = series[series["Modality"] == "CT"].dicom.planes(overlays=dose, isodoses=[20, 54])
        >>> figure.axes[0].get_title(loc="left")
        'Axial, z = -22.0 mm'
        """
        from dicomframe.images.planes import planes

        listed = [] if isinstance(overlays, pd.DataFrame) else _checked(overlays)
        volume = self.volume(progress=progress)
        if isinstance(overlays, pd.DataFrame):
            listed = OverlayMethods(overlays).overlays(volume, registered=registered, progress=progress)
        return planes(volume, at=at, window=window, overlays=listed, isodoses=isodoses, title=title)


def _checked(overlays: Sequence[Overlay] | None) -> Sequence[Overlay]:
    """Refuse what is no overlay before anything is retrieved."""
    if overlays is None:
        return []
    listed: Sequence[object] = overlays
    if not all(hasattr(each, "array") and hasattr(each, "kind") for each in listed):
        raise TableError(
            "Overlays are a table of SEG, RTSTRUCT and RTDOSE objects, or what df.dicom.overlays gave."
        )
    return overlays
