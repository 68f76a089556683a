-- Reads the conditions as kstatus does (sigs.k8s.io/cli-utils): Stalled is a failure that only a person can mend,
-- Reconciling is under way, and Ready without either is healthy. Both resources have these conditions, so both have
-- this same script.

local function condition(type)
  if obj.status == nil or obj.status.conditions == nil then
    return nil
  end
  for _, found in ipairs(obj.status.conditions) do
    if found.type == type then
      return found
    end
  end
  return nil
end

local function health(status, found, otherwise)
  local message = otherwise
  if found ~= nil and found.message ~= nil and found.message ~= "" then
    message = found.message
    if found.reason ~= nil then
      message = found.reason .. ": " .. message
    end
  end
  return { status = status, message = message }
end

local ready = condition("Ready")
local stalled = condition("Stalled")
local reconciling = condition("Reconciling")
local deleting = obj.metadata.deletionTimestamp ~= nil

-- What was said about an older spec says nothing about this one. A new object says -1 until the operator has seen it.
-- A deletion raises the generation too, and what blocks it must be seen.
local current = obj.status ~= nil and obj.status.observedGeneration == obj.metadata.generation

if stalled ~= nil and stalled.status == "True" and (current or deleting) then
  return health("Degraded", stalled, "Only a person can mend this")
end
if deleting then
  return health("Progressing", reconciling, "Waiting for the deletion")
end
if not current then
  return health("Progressing", nil, "Waiting for the operator to see this generation")
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return health("Suspended", ready, "Suspended by spec.suspend")
end
if reconciling ~= nil and reconciling.status == "True" then
  return health("Progressing", reconciling, "Under way")
end
if ready ~= nil and ready.status == "True" then
  -- Defender works, but something beside it may need a person: that is worth showing, and no reason to be unhealthy.
  local again = condition("ReauthRequired")
  if again ~= nil and again.status == "True" then
    return health("Healthy", again, "A person must sign in again")
  end
  return health("Healthy", ready, "Ready")
end
return health("Progressing", ready, "Waiting to become ready")
