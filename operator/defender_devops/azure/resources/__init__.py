"""Resources of Azure Resource Manager: security connectors, role assignments, subscriptions."""
