"""What the operator keeps in memory between two reconciles. All of it can be lost: a restart reads it again.

The rest of the reconciler uses these parts and nothing behind them:

    resource_cache       `ResourceCache`: the newest body of every connector and organization, with indexes
    write_through        `WriteThrough`: puts the API server's answers to our own writes into the resource cache
    resync               `Resync`: removes objects that were deleted while no watch was open
    connector_cache      `ConnectorCaches`: the last Azure state of each connector, and failures in a row
    drift_notifications  `DriftNotifications`: enqueues the connectors whose Resource Graph row contradicts that state
    posture_observations `PostureObservations`: what polls for recommendations show; enqueues connectors with changes
    unchanged            `ReconcileInputs`: whether a reconcile may end early because nothing has changed

How bodies are compressed, indexed and compared is theirs alone. Plans and reports are functions of a snapshot and never
see a cache, so speed cannot change a decision.
"""
