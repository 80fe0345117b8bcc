"""A volume: slices on one regular grid, and where the grid lies in the patient (PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dicomframe.errors import QueryError
from dicomframe.images.anatomy import LETTERS, PLANE_AXES, PlaneName, nearest_axes

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.images.windowing import Window


@dataclass(frozen=True, eq=False, repr=False)
class Plane:
    """One cut through a volume, turned as radiologists look at it: the patient's right is on the left.

    Parameters
    ----------
    array : ndarray
        Shape (rows, columns), of the volume's dtype; a view of the volume, not a copy.
    extent : (float, float, float, float)
        Left, right, bottom and top edge in mm, for matplotlib's ``imshow(plane.array, extent=plane.extent)``: the
        patient's coordinates where the grid is parallel to the patient's axes, else mm along the grid's own axes.
    name : {"axial", "coronal", "sagittal"}
    index : int
        Which cut, along the grid's axis across the plane, from 0.
    position : float
        Where the cut is along that axis, in mm.
    letters : (str, str, str, str)
        The patient's direction at the left, right, bottom and top edge: ``("R", "L", "P", "A")``.

    Examples
    --------
    `Volume.plane` makes it.

    >>> from dicomframe.images.assembly import volume_of
    >>> from pydicom import dcmread, examples
    >>> volume = volume_of([dcmread(examples.get_path("ct"))])
    >>> plane = volume.plane("axial")
    >>> plane.array.shape, plane.index, plane.letters
    ((128, 128), 0, ('R', 'L', 'P', 'A'))
    >>> plane
    <Plane axial 0 at -75.7 mm, 128 x 128 int16, R to L, P to A>
    """

    array: NDArray[Any]
    extent: tuple[float, float, float, float]
    name: str
    index: int
    position: float
    letters: tuple[str, str, str, str]

    def __repr__(self) -> str:
        size = " x ".join(str(length) for length in self.array.shape)
        left, right, bottom, top = self.letters
        edges = f"{left} to {right}, {bottom} to {top}"
        return (
            f"<Plane {self.name} {self.index} at {self.position:.1f} mm, {size} {self.array.dtype}, {edges}>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """Slices on one regular grid in the patient.

    Parameters
    ----------
    array : ndarray
        Shape (slices, rows, columns), in `unit`: int16 where that holds every value exactly, else float32.
    affine : ndarray of float64, shape (4, 4)
        Takes (slice, row, column, 1) to (x, y, z, 1) in mm: x to the patient's left, y to the back, z to the head
        (PS3.3 C.7.6.2.1.1). The centre of a voxel has whole indices.
    problems : pandas.DataFrame
        What is not as a regular stack should be, one row each: ``what``, ``where``, ``SOPInstanceUID``, ``frame``,
        ``detail``. Empty where all is well.
    slices : pandas.DataFrame
        One row a slice, in order: ``SOPInstanceUID``, ``frame`` (from 1), and the position of its first pixel as
        the object tells it, ``x``, ``y``, ``z`` in mm; its own window, ``center`` and ``width`` in `unit`. Where
        ``filled`` is true, no pixels came: the array holds padding or its least value, and of a slice that was not
        there at all the other columns are missing.
    unit : str
        ``"HU"``, ``"Gy"``, ``"g/ml"``, …; empty where the object names none.
    modality : str
    frame_of_reference_uid : str
        Volumes with the same one share their coordinates; empty where the objects name none.
    window : Window or None
        The middle slice's own, in `unit`.
    inverted : bool
        Whether small values are bright (MONOCHROME1, Presentation LUT Shape INVERSE).
    padding : (float, float) or None
        From which to which value, in `unit`, the array holds padding (PS3.3 C.7.5.1.1.2): what the scanner did not see.

    Examples
    --------
    `df.dicom.volume()` and `Client.retrieve_volume` make it.

    >>> import dicomframe as dfr
    >>> with dfr.start_local(samples=True) as local:
    ...     volume = local.connect().search_series(Modality="MR", limit=1).to_frame().dicom.volume()
    >>> volume.modality, volume.array.dtype.name, volume.affine.shape, len(volume.slices) == volume.shape[0]
    ('MR', 'int16', (4, 4), True)
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    problems: pd.DataFrame
    slices: pd.DataFrame
    unit: str = ""
    modality: str = ""
    frame_of_reference_uid: str = ""
    window: Window | None = None
    inverted: bool = False
    padding: tuple[float, float] | None = None

    def __repr__(self) -> str:
        size = " x ".join(str(length) for length in self.array.shape)
        spacing = " x ".join(f"{length:.4g}" for length in self.spacing)
        count = len(self.problems)
        note = f", {count} problem{'s' * (count != 1)}: see .problems" if count else ""
        unit = f" in {self.unit}" if self.unit else ""
        return f"<Volume {self.modality} {size}, {spacing} mm, {self.array.dtype}{unit}{note}>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns.

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> volume.shape
        (1, 128, 128)
        """
        slices, rows, columns = self.array.shape
        return slices, rows, columns

    @property
    def is_regular(self) -> bool:
        """Whether every slice lies where the affine has it; where not, `problems` and `slices` tell where they lie.

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> volume.is_regular
        True
        """
        if "what" not in self.problems.columns:
            return True
        return not self.problems["what"].isin(["unequal spacing", "shifted slices"]).any()

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Distances in mm between neighbours along slices, rows and columns, shape (3,).

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> volume.spacing.round(2).tolist()
        [5.0, 0.66, 0.66]
        """
        distances: NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return distances

    def to_mm(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Give the patient coordinates of (slice, row, column), shape (..., 3), fractions allowed.

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> volume.to_mm([0, 0, 0]).tolist()
        [-158.135803, -179.035797, -75.699997]
        """
        mm: NDArray[np.float64] = np.asarray(indices, dtype=np.float64) @ self.affine[:3, :3].T
        return mm + self.affine[:3, 3]

    def to_index(self, mm: ArrayLike) -> NDArray[np.float64]:
        """Give (slice, row, column), not rounded, of patient coordinates, shape (..., 3).

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> volume.to_index(volume.to_mm([0, 10, 20])).round(6).tolist()
        [0.0, 10.0, 20.0]
        """
        inverse = np.linalg.inv(self.affine)
        indices: NDArray[np.float64] = np.asarray(mm, dtype=np.float64) @ inverse[:3, :3].T
        return indices + inverse[:3, 3]

    def axes(self) -> tuple[int, int, int]:
        """Tell which axis of the array is nearest to the patient's x, y and z; each is taken once.

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> volume.axes()  # x grows along columns, y along rows, z along slices
        (2, 1, 0)
        """
        return nearest_axes(self.affine)

    def plane(self, name: PlaneName = "axial", index: int | None = None) -> Plane:
        """Cut the volume along its grid, in the plane nearest to an anatomical one.

        Parameters
        ----------
        name : {"axial", "coronal", "sagittal"}
        index : int, optional
            Which cut, from 0 at the foot, the front or the patient's right; negative ones count from the end. By
            default the middle.

        Returns
        -------
        Plane
            Turned so that the patient's right is on the left and the head or the front is up; of a sagittal plane
            the front is on the left.

        Raises
        ------
        QueryError
            If there is no such plane or cut.

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> volume.plane("axial").array.shape, volume.plane("coronal").letters
        ((128, 128), ('R', 'L', 'F', 'H'))
        """
        if name not in PLANE_AXES:
            raise QueryError(f"A plane is one of {', '.join(PLANE_AXES)}, not {str(name)[:40]!r}.")
        across, down, right = PLANE_AXES[name]
        axes = self.axes()
        # The grid turned to the patient: along each of its axes, x, y and z grow.
        flips = [self.affine[axis, axes[axis]] < 0 for axis in range(3)]
        turned = self.array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        count = turned.shape[across]
        at = count // 2 if index is None else index
        if isinstance(at, bool) or not isinstance(at, int | np.integer) or not -count <= at < count:
            raise QueryError(f"There is no {name} plane {index!r}: there are {count}, counted from 0.")
        at = int(at) % count
        # Of the two axes that are left, the lower one runs along the columns.
        array = turned[(slice(None),) * across + (at,)].T[:: down[1], :: right[1]]
        edges = [self._edges(axes[axis], flips[axis]) for axis in range(3)]
        low, step = edges[across][0], edges[across][2]
        extent = (*edges[right[0]][:2], *edges[down[0]][:2][:: -down[1]])
        letters = (*LETTERS[right[0]], *LETTERS[down[0]][:: -down[1]])
        return Plane(array, extent, name, at, low + (at + 0.5) * step, letters)  # type: ignore[arg-type]

    def _edges(self, of_array: int, flip: bool) -> tuple[float, float, float]:
        """Give the outer edges of the grid along one of its axes, ascending, and the step, in mm."""
        step = float(self.spacing[of_array])
        unit = self.affine[:3, of_array] / step * (-1 if flip else 1)
        first = np.zeros(3)
        if flip:
            first[of_array] = self.array.shape[of_array] - 1
        low = float(self.to_mm(first) @ unit) - step / 2
        return low, low + step * self.array.shape[of_array], step

    def resampled_to(
        self,
        other: Volume,
        order: Literal[0, 1, 2, 3, 4, 5] = 1,
        *,
        fill: float | None = None,
        registered: bool = False,
    ) -> Volume:
        """Interpolate this volume at the voxels of another.

        Parameters
        ----------
        other : Volume
            Whose grid is wanted.
        order : int
            Of the spline: 0 nearest, 1 linear, … 3 cubic.
        fill : float, optional
            The value outside of this volume; by default NaN.
        registered : bool
            That the coordinates agree although the frames of reference differ or are unknown.

        Returns
        -------
        Volume
            float32 on the other's grid; unit, window and problems are this volume's.

        Raises
        ------
        QueryError
            If the frames of reference differ, or the order is none of 0 to 5.

        Examples
        --------
        >>> from dicomframe.images.assembly import volume_of
        >>> from pydicom import dcmread, examples
        >>> volume = volume_of([dcmread(examples.get_path("ct"))])
        >>> bool((volume.resampled_to(volume).array == volume.array).all())
        True
        """
        if order not in range(6):
            raise QueryError("The order of the interpolation must be 0 to 5.")
        if self.frame_of_reference_uid != other.frame_of_reference_uid and not registered:
            raise QueryError(
                "The volumes have different frames of reference, so their coordinates need not agree. If you know"
                " that they do, say registered=True."
            )
        from dataclasses import replace

        from scipy.ndimage import affine_transform

        change = np.linalg.inv(self.affine) @ other.affine
        # What differs by rounding only is the same grid: else voxels at the edge would count as outside.
        whole = np.round(change)
        change = np.where(np.abs(change - whole) < 1e-9, whole, change)
        array = affine_transform(
            self.array.astype(np.float32),
            change[:3, :3],
            change[:3, 3],
            output_shape=other.array.shape,
            order=order,
            mode="constant",
            cval=np.nan if fill is None else fill,
        )
        return replace(
            self,
            array=array,
            affine=other.affine,
            slices=other.slices,
            frame_of_reference_uid=other.frame_of_reference_uid,
        )


def affine_of(
    origin: ArrayLike,
    step: ArrayLike,
    row_direction: ArrayLike,
    column_direction: ArrayLike,
    pixel_spacing: Sequence[float],
) -> NDArray[np.float64]:
    """Make the affine of a stack from the first slice's plane and the step from slice to slice.

    Parameters
    ----------
    origin, step : 3 numbers
        Position of the first pixel of the first slice, and what to add for each further slice, in mm.
    row_direction, column_direction : 3 numbers
        Image Orientation (Patient): the directions in which column and row index grow.
    pixel_spacing : 2 numbers
        Pixel Spacing: between rows, between columns, in mm.

    Returns
    -------
    ndarray of float64, shape (4, 4)
        For (slice, row, column, 1).

    Examples
    --------
    >>> affine_of((-10, -20, 5), (0, 0, 3), (1, 0, 0), (0, 1, 0), (0.5, 0.25)) @ (2, 4, 4, 1)
    array([ -9., -18.,  11.,   1.])
    """
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = np.multiply(column_direction, pixel_spacing[0])
    affine[:3, 2] = np.multiply(row_direction, pixel_spacing[1])
    affine[:3, 3] = origin
    return affine
