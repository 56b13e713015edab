-- What HAProxy's own words cannot say: to hold a request, and to cut a path.
--
-- `hold` keeps a request until the gateway's Python says that it may go on, or refuses it.
--
-- One connection a held request, so that the connection's end is the request's end: HAProxy drops
-- it when the client leaves, and Python sees that. The protocol is in holdserver.py.

local ADDRESS = os.getenv("TORPOR_HOLD_SOCKET")
-- Python bounds every hold; this only frees the request if Python never answers.
local TIMEOUT_SECONDS = 3600

local function refuse(txn, status, retry_after, body)
  txn:set_var("txn.told", true)
  local reply = txn:reply({ status = status, body = body })
  reply:add_header("Content-Type", "application/problem+json")
  reply:add_header("Cache-Control", "no-store")
  if retry_after then reply:add_header("Retry-After", retry_after) end
  -- A client that is refused must not keep a connection that others need.
  if status == 503 then reply:add_header("Connection", "close") end
  txn:done(reply)
end

local function away(txn, id)
  refuse(txn, 503, "1", '{"type":"about:blank","title":"Service Unavailable","status":503,' ..
    '"detail":"The gateway is starting; try again.","code":"gateway-starting",' ..
    '"requestId":"' .. id .. '"}')
end

-- Only what cannot end the line or begin another field is ever sent.
local function word(value, pattern, default)
  if type(value) == "string" and #value <= 320 and value:match(pattern) then return value end
  return default
end

-- The request's place in its trace, and whether this gateway began it.
local function trace(txn)
  local found = txn.http:req_get_headers()["traceparent"]
  local given = word(found and found[0], "^%x%x%-%x+%-%x+%-%x%x$", "-")
  return given .. " " .. (txn:get_var("txn.begun") and "begun" or "given")
end

core.register_action("hold", { "http-req" }, function(txn)
  local id = word(txn:get_var("txn.id"), "^[%w._-]+$", "-")
  local fn = word(txn:get_var("txn.fn"), "^[%w.-]+/[%w.-]+$", nil)
  if fn == nil then return away(txn, id) end
  local kind = txn:get_var("txn.again") and "again" or "first"

  local hold = core.tcp()
  hold:settimeout(TIMEOUT_SECONDS)
  if not hold:connect(ADDRESS) then return away(txn, id) end
  hold:send(kind .. " " .. fn .. " " .. id .. " " .. trace(txn) .. "\n")
  local line = hold:receive("*l")
  hold:close()
  if line == nil then return away(txn, id) end

  local slot, cold = line:match("^go (b%d+) (%a+)$")
  if slot then
    txn:set_var("txn.be", slot)
    if cold == "cold" then txn:set_var("txn.cold", 1) end
    return
  end
  local status, retry_after, body = line:match("^no (%d%d%d) (%S+) (.+)$")
  if not status then return away(txn, id) end
  if retry_after == "-" then retry_after = nil end
  refuse(txn, tonumber(status), retry_after, body)
end)

-- `rewrite` gives a request of a Trigger the path that its target sees, see http_table.py.
core.register_action("rewrite", { "http-req" }, function(txn)
  local cut, base = txn:get_var("txn.to"):match("^[^|]*|(%d*)|(.*)$")
  local rest = cut == "" and "" or txn.f:path():sub(tonumber(cut) + 1)
  local path = base .. rest
  txn.http:req_set_path(path == "" and "/" or path)
end)
