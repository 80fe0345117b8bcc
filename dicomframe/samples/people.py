"""Invented people: names put together from lists of common names, and who they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dicomframe.samples.canvas import Dice

_FAMILY = (
    "Smith Johnson Williams Brown Jones Davies Miller Wilson Moore Taylor Anderson Thomas Jackson White Harris "
    "Martin Thompson Clark Lewis Walker Hall Allen Young King Wright Hill Scott Green Baker Adams Nelson Carter "
    "Mitchell Roberts Turner Phillips Campbell Parker Evans Edwards Collins Stewart Morris Murphy Cook Rogers "
    "Reed Bailey Bell Cooper Richardson Cox Ward Peterson Gray James Watson Brooks Kelly Sanders Price Bennett "
    "Wood Barnes Ross Henderson Coleman Jenkins Perry Powell Patterson Hughes Flores Washington Butler Simmons "
    "Foster Bryant Alexander Russell Griffin Hayes Myers Ford Hamilton Graham Sullivan Wallace Woods Cole West"
).split()
_GIVEN = {
    "F": (
        "Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Nancy Lisa Margaret Sandra Ashley "
        "Emily Donna Michelle Carol Amanda Melissa Deborah Stephanie Rebecca Laura Helen Sharon Cynthia Kathleen Amy "
        "Shirley Angela Anna Ruth Brenda Pamela Nicole Katherine Virginia Catherine Christine Janet Debra Rachel"
    ).split(),
    "M": (
        "James Robert John Michael David William Richard Joseph Thomas Charles Christopher Daniel Matthew Anthony "
        "Mark Donald Steven Paul Andrew Joshua Kenneth Kevin Brian George Timothy Ronald Edward Jason Jeffrey Ryan "
        "Jacob Gary Nicholas Eric Jonathan Stephen Larry Justin Scott Brandon Benjamin Samuel Gregory Frank"
    ).split(),
}

#: Names that teach something: hyphens, apostrophes, accents, prefixes, other scripts with all three groups.
_REMARKABLE = (
    ("Müller^Jürgen^^Dr", "M"),
    ("Sato^Hanako=佐藤^花子=さとう^はなこ", "F"),
    ("García López^María Dolores", "F"),
    ("O'Brien^Siobhán", "F"),
    ("Kim^Minseo=金^玟敍=김^민서", "F"),
    ("Jones-Baker^Oliver", "M"),
    ("Åström^Björn", "M"),
    ("Wang^Jianguo=王^建国", "M"),
    ("Παπαδοπούλου^Ελένη", "F"),
    ("Nowak^Łukasz", "M"),
    ("Иванова^Ольга^Петровна", "F"),
    ("Lefèvre^Zoé", "F"),
    ("Yılmaz^Çağla", "F"),  # noqa: RUF001 - Turkish has an i without a dot
    ("حداد^ليلى", "F"),
    ("van der Berg^Joost", "M"),
    ("Suzuki^Kenta=鈴木^健太=すずき^けんた", "M"),
    ("Dvořák^Antonie", "F"),
    ("Þórsdóttir^Guðrún", "F"),
    ("Nguyễn^Thị Hoa", "F"),
    ("St. Clair^Thomas^Henry^Rev^Jr", "M"),
)


@dataclass(frozen=True, slots=True)
class Patient:
    """An invented person.

    Parameters
    ----------
    patient_id : str
        ``"DF"`` and six digits.
    name : str
        As PN writes it: up to three groups, parts between carets.
    sex : {"F", "M", "O"}
    birth_date : datetime.date
    height, weight : float
        In m and kg.

    Examples
    --------
    >>> Patient("DF000001", "Smith^Anna", "F", date(1980, 3, 2), 1.7, 65.0).name
    'Smith^Anna'
    """

    patient_id: str
    name: str
    sex: str
    birth_date: date
    height: float
    weight: float

    def age_on(self, day: date) -> str:
        """Give the age as AS writes it (PS3.5 section 6.2): years from two on, before that months.

        Examples
        --------
        >>> Patient("DF000001", "Smith^Anna", "F", date(1980, 3, 2), 1.7, 65.0).age_on(date(2024, 3, 1))
        '043Y'
        """
        before = (day.month, day.day) < (self.birth_date.month, self.birth_date.day)
        years = day.year - self.birth_date.year - before
        if years >= 2:
            return f"{years:03d}Y"
        months = (day.year - self.birth_date.year) * 12 + day.month - self.birth_date.month
        return f"{months - (day.day < self.birth_date.day):03d}M"


class Registry:
    """Makes patients one after the other, the same ones in each run; no name is given twice unless asked for."""

    def __init__(self) -> None:
        self._dice = Dice("people")
        self._count = 0
        self._remarkable = list(_REMARKABLE)
        self._taken: set[str] = set()

    def admit(self, first_seen: date, ages: tuple[int, int], name: str = "", sex: str = "") -> Patient:
        """Make a patient who is between two ages, in years, at a first study."""
        self._count += 1
        if not name:
            name, sex = self._next_name()
        age = self._dice.between(*ages)
        born = date.fromordinal(first_seen.toordinal() - int(age * 365.25) - self._dice.between(20, 340))
        height, weight = self._stature(max(age, 0), sex)
        number = 104_000 + self._count * 37 + self._dice.below(30)
        return Patient(f"DF{number:06d}", name, sex, born, height, weight)

    def _next_name(self) -> tuple[str, str]:
        if self._count % 5 == 3 and self._remarkable:
            return self._remarkable.pop(0)
        while True:
            sex = "FM"[self._dice.below(2)]
            family = _FAMILY[self._dice.below(len(_FAMILY))]
            given = _GIVEN[sex][self._dice.below(len(_GIVEN[sex]))]
            middle = "ABCDEFGHJKLMPRSTW"[self._dice.below(17)] if self._dice.below(3) == 0 else ""
            name = f"{family}^{given}^{middle}".rstrip("^")
            if name not in self._taken:
                self._taken.add(name)
                return name, sex

    def _stature(self, age: int, sex: str) -> tuple[float, float]:
        adult = 1.64 if sex == "F" else 1.77
        height = (adult if age >= 17 else 0.7 + (adult - 0.7) * age / 17) + self._dice.uniform(-0.09, 0.09)
        index = self._dice.uniform(19.5, 33.0) if age >= 17 else self._dice.uniform(15.0, 19.0)
        return round(height, 2), round(index * height * height, 1)
