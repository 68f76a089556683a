-- Evaluates the conditions as kstatus does (sigs.k8s.io/cli-utils): Stalled is a failure that requires a person,
-- Reconciling is in progress, and Ready without either is healthy. Both resources have these conditions, so both use
-- this script.

local function condition(type)
  if obj.status == nil or obj.status.conditions == nil then
    return nil
  end
  for _, candidate in ipairs(obj.status.conditions) do
    if candidate.type == type then
      return candidate
    end
  end
  return nil
end

local function health(status, source, default)
  local message = default
  if source ~= nil and source.message ~= nil and source.message ~= "" then
    message = source.message
    if source.reason ~= nil then
      message = source.reason .. ": " .. message
    end
  end
  return { status = status, message = message }
end

local ready = condition("Ready")
local stalled = condition("Stalled")
local reconciling = condition("Reconciling")
local deleting = obj.metadata.deletionTimestamp ~= nil

-- Conditions of an older generation do not apply to this one. A new object has observedGeneration -1 until the operator
-- has observed it. A deletion raises the generation too. Argo CD reports "Pending deletion" before it runs this script, so
-- the branches for deletions are for other tools that use it.
local current = obj.status ~= nil and obj.status.observedGeneration == obj.metadata.generation

if stalled ~= nil and stalled.status == "True" and (current or deleting) then
  return health("Degraded", stalled, "Requires action by a person")
end
if deleting then
  return health("Progressing", reconciling, "Waiting for the deletion")
end
if not current then
  return health("Progressing", nil, "Waiting for the operator to observe this generation")
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return health("Suspended", ready, "Suspended by spec.suspend")
end
if reconciling ~= nil and reconciling.status == "True" then
  return health("Progressing", reconciling, "In progress")
end
if ready ~= nil and ready.status == "True" then
  -- Defender works, but the operator's own sign-in may require a person: shown, but not a reason to be unhealthy.
  local reauth = condition("ReauthRequired")
  if reauth ~= nil and reauth.status == "True" then
    return health("Healthy", reauth, "A person must sign in again")
  end
  return health("Healthy", ready, "Ready")
end
return health("Progressing", ready, "Waiting to become ready")
