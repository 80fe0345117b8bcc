"""What each tissue looks like to each scanner, as data."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tissue(IntEnum):
    """The labels of a `Canvas`."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    BONE = 4
    MARROW = 5
    CARTILAGE = 6
    LUNG = 7
    LUNG_VESSEL = 8
    BRONCHUS = 9
    BLOOD = 10
    VEIN = 11
    HEART = 12
    GLAND = 13
    LIVER = 14
    SPLEEN = 15
    RENAL_CORTEX = 16
    RENAL_MEDULLA = 17
    BOWEL = 18
    STOOL = 19
    GAS = 20
    STOMACH = 21
    BILE = 22
    PANCREAS = 23
    URINE = 24
    GREY = 25
    WHITE = 26
    CSF = 27
    DEEP_GREY = 28
    EYE = 29
    LENS = 30
    MUCOSA = 31
    DISC = 32
    NUCLEUS = 33
    CORD = 34
    LESION = 35
    EDEMA = 36
    CEREBELLUM = 37
    LIGAMENT = 38
    NODULE = 39
    BLEEDING = 40
    PORTAL = 41


class Looks(NamedTuple):
    """One tissue's value in each kind of image.

    ``hu`` are Hounsfield units with contrast medium in the vessels, ``plain`` without; ``t1``, ``t2``, ``flair`` are
    signals of a head or body coil in arbitrary units from 0 to about 1000; ``suv`` is FDG uptake.
    """

    hu: float
    plain: float
    t1: float
    t2: float
    flair: float
    suv: float


T = Tissue
#: Values in the range that textbooks give; contrast-enhanced CT is in the portal venous phase.
LOOKS: dict[Tissue, Looks] = {
    T.AIR: Looks(-1000, -1000, 8, 8, 8, 0.0),
    T.SKIN: Looks(20, 20, 330, 260, 260, 0.5),
    T.FAT: Looks(-102, -102, 900, 640, 620, 0.3),
    T.MUSCLE: Looks(62, 55, 330, 170, 230, 0.7),
    T.BONE: Looks(900, 900, 40, 30, 35, 0.5),
    T.MARROW: Looks(240, 240, 560, 330, 400, 1.3),
    T.CARTILAGE: Looks(120, 120, 260, 220, 260, 0.6),
    T.LUNG: Looks(-855, -855, 30, 30, 30, 0.5),
    T.LUNG_VESSEL: Looks(80, 10, 90, 60, 70, 1.0),
    T.BRONCHUS: Looks(-990, -990, 10, 10, 10, 0.3),
    T.BLOOD: Looks(175, 42, 130, 60, 110, 1.7),
    T.VEIN: Looks(150, 40, 180, 90, 130, 1.6),
    T.HEART: Looks(105, 45, 350, 230, 280, 2.6),
    T.GLAND: Looks(30, 25, 330, 330, 320, 1.0),
    T.LIVER: Looks(112, 58, 450, 215, 300, 2.3),
    T.SPLEEN: Looks(122, 50, 310, 370, 380, 1.9),
    T.RENAL_CORTEX: Looks(185, 34, 400, 420, 400, 3.0),
    T.RENAL_MEDULLA: Looks(135, 30, 300, 500, 420, 3.5),
    T.BOWEL: Looks(75, 38, 320, 260, 300, 1.3),
    T.STOOL: Looks(42, 42, 350, 240, 300, 1.0),
    T.GAS: Looks(-930, -930, 10, 10, 10, 0.2),
    T.STOMACH: Looks(18, 12, 220, 720, 300, 0.9),
    T.BILE: Looks(8, 8, 210, 900, 260, 0.6),
    T.PANCREAS: Looks(98, 42, 480, 260, 320, 1.4),
    T.URINE: Looks(8, 6, 150, 960, 140, 14.0),
    T.GREY: Looks(41, 39, 430, 470, 490, 7.5),
    T.WHITE: Looks(31, 27, 620, 270, 330, 3.4),
    T.CSF: Looks(5, 5, 130, 980, 60, 0.4),
    T.DEEP_GREY: Looks(42, 39, 500, 370, 430, 8.0),
    T.EYE: Looks(12, 12, 160, 960, 120, 0.5),
    T.LENS: Looks(75, 75, 420, 160, 260, 0.5),
    T.MUCOSA: Looks(45, 40, 330, 620, 480, 1.8),
    T.DISC: Looks(95, 90, 310, 130, 260, 0.8),
    T.NUCLEUS: Looks(75, 75, 300, 560, 300, 0.8),
    T.CORD: Looks(38, 36, 410, 330, 400, 1.8),
    T.LESION: Looks(62, 34, 270, 560, 600, 9.0),
    T.EDEMA: Looks(22, 18, 380, 640, 760, 2.5),
    T.CEREBELLUM: Looks(39, 36, 470, 420, 450, 6.5),
    T.LIGAMENT: Looks(70, 65, 110, 70, 110, 0.6),
    T.NODULE: Looks(45, 30, 260, 320, 330, 8.5),
    T.BLEEDING: Looks(68, 68, 620, 180, 420, 0.8),
    T.PORTAL: Looks(160, 44, 200, 110, 140, 1.6),
}


def look_up_table(kind: str) -> NDArray[np.float32]:
    """Give the value of each label for one kind of image.

    Parameters
    ----------
    kind : {"hu", "plain", "t1", "t2", "flair", "suv"}

    Returns
    -------
    ndarray of float32, shape (256,)
    """
    table = np.zeros(256, dtype=np.float32)
    for tissue, looks in LOOKS.items():
        table[tissue] = getattr(looks, kind)
    return table
