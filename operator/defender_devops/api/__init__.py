"""The two resources: models, conditions, reasons, generated CRDs. Pure: nothing here does I/O."""
