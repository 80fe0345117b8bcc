"""What tells volumes at the same positions apart: echoes, times, b-values."""

from __future__ import annotations

#: What may tell several volumes at the same positions apart, the first that does so first: name -> where it is in the
#: functional groups (sequences and attribute), and at the top of other objects.
MARKS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "ReferencedSegmentNumber": (("SegmentIdentificationSequence", "ReferencedSegmentNumber"), None),
    "StackID": (("FrameContentSequence", "StackID"), None),
    "TemporalPosition": (("FrameContentSequence", "TemporalPositionIndex"), "TemporalPositionIdentifier"),
    "EchoTime": (("MREchoSequence", "EffectiveEchoTime"), "EchoTime"),
    "EchoNumbers": ((), "EchoNumbers"),
    "DiffusionBValue": (("MRDiffusionSequence", "DiffusionBValue"), "DiffusionBValue"),
    "DiffusionGradientOrientation": (
        ("MRDiffusionSequence", "DiffusionGradientDirectionSequence", "DiffusionGradientOrientation"),
        "DiffusionGradientOrientation",
    ),
    "InversionTime": ((), "InversionTime"),
    "FlipAngle": ((), "FlipAngle"),
    "TriggerTime": (("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"), "TriggerTime"),
    "NominalPercentageOfCardiacPhase": (
        ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
        "NominalPercentageOfCardiacPhase",
    ),
    "FrameReferenceTime": ((), "FrameReferenceTime"),
    "ComplexImageComponent": (("MRImageFrameTypeSequence", "ComplexImageComponent"), "ComplexImageComponent"),
    "ImageType": (("MRImageFrameTypeSequence", "FrameType"), "ImageType"),
    "ConvolutionKernel": (("CTReconstructionSequence", "ConvolutionKernel"), "ConvolutionKernel"),
    "AcquisitionNumber": (("FrameContentSequence", "FrameAcquisitionNumber"), "AcquisitionNumber"),
    "AcquisitionTime": (("FrameContentSequence", "FrameAcquisitionDateTime"), "AcquisitionTime"),
}
