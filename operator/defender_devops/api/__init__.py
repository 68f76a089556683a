"""The two custom resources: models, conditions, reasons and generated CRDs. Pure: nothing here does I/O."""
