"""What one column can do, as ``series.dicom``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import pandas as pd


class DicomColumn:
    """What one column of a DICOM table can do, as ``series.dicom``: parts of person names, ages in years.

    A column of another kind is a `TableError`: numbers, dates, lists, or an attribute that is none of names (PN) or of
    ages (AS). Missing values stay missing, also where the column holds nothing else.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> page = '[{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Smith^Anna^^Dr"}]}}]'
    >>> names = dfr.from_json(page)["PatientName"].dicom
    >>> names.family_name[0], names.given_name[0], names.name_prefix[0]
    ('Smith', 'Anna', 'Dr')
    """

    __slots__ = ("_column",)

    def __init__(self, column: pd.Series[Any]) -> None:
        self._column = column

    def __repr__(self) -> str:
        return f"<series.dicom: {len(self._column):,} cells; help(series.dicom) tells what it can do>"

    def _part(self, name: str) -> pd.Series[Any]:
        from dicomframe.tables.person_names import component

        return component(self._column, cast("Any", name))

    @property
    def family_name(self) -> pd.Series[Any]:
        """First component of the alphabetic group (PS3.5 section 6.2.1).

        Examples
        --------
        >>> import dicomframe as dfr
        >>> name = {"Alphabetic": "Sato^Anna^B^Dr^MD", "Ideographic": "X", "Phonetic": "Y"}
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [name]}}])
        >>> df["PatientName"].dicom.family_name[0]
        'Sato'
        """
        return self._part("family_name")

    @property
    def given_name(self) -> pd.Series[Any]:
        """Second component.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> name = {"Alphabetic": "Sato^Anna^B^Dr^MD", "Ideographic": "X", "Phonetic": "Y"}
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [name]}}])
        >>> df["PatientName"].dicom.given_name[0]
        'Anna'
        """
        return self._part("given_name")

    @property
    def middle_name(self) -> pd.Series[Any]:
        """Third component.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> name = {"Alphabetic": "Sato^Anna^B^Dr^MD", "Ideographic": "X", "Phonetic": "Y"}
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [name]}}])
        >>> df["PatientName"].dicom.middle_name[0]
        'B'
        """
        return self._part("middle_name")

    @property
    def name_prefix(self) -> pd.Series[Any]:
        """Fourth component.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> name = {"Alphabetic": "Sato^Anna^B^Dr^MD", "Ideographic": "X", "Phonetic": "Y"}
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [name]}}])
        >>> df["PatientName"].dicom.name_prefix[0]
        'Dr'
        """
        return self._part("name_prefix")

    @property
    def name_suffix(self) -> pd.Series[Any]:
        """Fifth component.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> name = {"Alphabetic": "Sato^Anna^B^Dr^MD", "Ideographic": "X", "Phonetic": "Y"}
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [name]}}])
        >>> df["PatientName"].dicom.name_suffix[0]
        'MD'
        """
        return self._part("name_suffix")

    @property
    def ideographic(self) -> pd.Series[Any]:
        """The ideographic group of each name, missing where there is none.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> name = {"Alphabetic": "Sato^Anna^B^Dr^MD", "Ideographic": "X", "Phonetic": "Y"}
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [name]}}])
        >>> df["PatientName"].dicom.ideographic[0]
        'X'
        """
        return self._group("ideographic")

    @property
    def phonetic(self) -> pd.Series[Any]:
        """The phonetic group of each name, missing where there is none.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> name = {"Alphabetic": "Sato^Anna^B^Dr^MD", "Ideographic": "X", "Phonetic": "Y"}
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [name]}}])
        >>> df["PatientName"].dicom.phonetic[0]
        'Y'
        """
        return self._group("phonetic")

    def _group(self, which: Literal["ideographic", "phonetic"]) -> pd.Series[Any]:
        from dicomframe.tables.person_names import group

        return group(self._column, which)

    @property
    def years(self) -> pd.Series[Any]:
        """Ages (AS, ``042Y``, ``018M``, ``003W``, ``011D``) in years, ``Float64``; missing where it is no age.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> df = dfr.from_json([{"00101010": {"vr": "AS", "Value": ["018M"]}}])
        >>> df["PatientAge"].dicom.years.tolist()
        [1.5]
        """
        from dicomframe.tables.person_names import years

        return years(self._column)
