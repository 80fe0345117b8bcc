"""The table itself: types, issues, the way back to DICOM JSON, names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomframe.accessor.base import TableBase

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.dicom.paths import Level
    from dicomframe.tables.schema import DtypeBackend, OnBadValue


class ConversionMethods(TableBase):
    """Methods that need no service."""

    __slots__ = ()

    def convert_dtypes(
        self, dtype_backend: DtypeBackend = "numpy_nullable", errors: OnBadValue = "coerce"
    ) -> pd.DataFrame:
        """Make a typed table of one whose cells are DICOM JSON attributes (PS3.18 annex F), or plain values.

        Plain values are those of a typed table that pandas merged or that was read from a text file. Dates may be
        written as 2024-01-31 or 20240131.

        Parameters
        ----------
        dtype_backend : {"numpy_nullable", "pyarrow"}
            Which family of dtypes the columns get.
        errors : {"coerce", "raise"}
            Whether a value that its VR does not allow becomes missing and one row of `issues`, or raises.

        Returns
        -------
        pandas.DataFrame
            One row a row of this table, with its index. Of plain values, columns of your own come last, as they are.

        Raises
        ------
        ValueRefused
            With ``errors="raise"``, at the first value that cannot be read.
        TableError
            If two columns have one name, or names have several levels.

        Examples
        --------
        >>> import pandas as pd
        >>> import dicomframe
        >>> raw = pd.DataFrame([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}])
        >>> raw.dicom.convert_dtypes().loc[0, "StudyInstanceUID"]
        '1.2'
        >>> pd.DataFrame({"StudyDate": ["2024-01-31"]}).dicom.convert_dtypes().dtypes["StudyDate"]
        dtype('<M8[s]')
        """
        from dicomframe.tables.convert import convert_dtypes

        return convert_dtypes(self._table, dtype_backend=dtype_backend, errors=errors)

    @property
    def level(self) -> Level:
        """What a row is: ``"study"``, ``"series"`` or ``"instance"``, from the UID columns that are there.

        Raises
        ------
        TableError
            If there is no StudyInstanceUID column.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> dfr.from_json([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]).dicom.level
        'study'
        """
        from dicomframe.tables.convert import level_of_table

        return level_of_table(self._table)

    @property
    def schema(self) -> pd.DataFrame:
        """The columns: keyword, tag, VR, VM, name, dtype, and how many values are there.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> schema = dfr.from_json([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]).dicom.schema
        >>> schema.set_index("keyword").loc["StudyInstanceUID", "vr"]
        'UI'
        """
        from dicomframe.tables.convert import schema

        return schema(self._table)

    def issues(self) -> pd.DataFrame:
        """Give the values of this table's rows that could not be read: UIDs, keyword, VR, raw text and reason.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> df = dfr.from_json([{"00200013": {"vr": "IS", "Value": ["one"]}}])
        >>> df.dicom.issues()["keyword"].tolist()
        ['InstanceNumber']
        """
        from dicomframe.tables.convert import issues

        return issues(self._table)

    def to_json(self) -> list[dict[str, Any]]:
        """Give the rows back as DICOM JSON objects (PS3.18 annex F), with what was edited since in its new form.

        Columns that are no DICOM attributes are left out.

        Raises
        ------
        TableError
            If a column no longer holds what its VR allows, two have one name, or names have several levels.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> df = dfr.from_json([{"00200013": {"vr": "IS", "Value": ["007"]}}])
        >>> df.dicom.to_json()
        [{'00200013': {'vr': 'IS', 'Value': ['007']}}]
        """
        from dicomframe.tables.convert import to_json

        return to_json(self._table)

    def names(self, keyword: str = "PatientName") -> pd.DataFrame:
        """Take the names in a PN column apart (PS3.5 section 6.2.1).

        Parameters
        ----------
        keyword : str
            The column.

        Returns
        -------
        pandas.DataFrame
            ``string`` columns: ``family_name``, ``given_name``, ``middle_name``, ``name_prefix``, ``name_suffix``,
            ``ideographic`` and ``phonetic``; missing where a name has no such part.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Phonetic": "C"}]}}])
        >>> df.dicom.names()[["given_name", "phonetic"]].values.tolist()
        [['B', 'C']]
        """
        from dicomframe.tables.person_names import names

        return names(self._table, keyword)
