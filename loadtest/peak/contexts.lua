-- wrk: a thousand contexts in turn. Arguments after `--`: file of query strings, path, header
-- name, key, Accept-Encoding (or -), If-None-Match (or -).

local requests = {}
local at = 0

function init(args)
  local file, path, header, key, encoding, tag = args[1], args[2], args[3], args[4], args[5], args[6]
  local headers = { [header] = key, ["Accept"] = "application/json" }
  if encoding ~= "-" then headers["Accept-Encoding"] = encoding end
  if tag ~= "-" then headers["If-None-Match"] = tag end
  for line in io.lines(file) do
    requests[#requests + 1] = wrk.format("GET", path .. "?" .. line, headers)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
