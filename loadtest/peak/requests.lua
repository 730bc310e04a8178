-- wrk: whole requests from a file, in turn. Argument after `--`: the file, a zero byte between two.
--
-- All of the work is done before the clock starts: what is left for each request is an index. The
-- collector is stopped, because to walk a hundred thousand strings would be a pause in the figures.

local requests = {}
local at = 0
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a")
  file:close()
  for whole in text:gmatch("[^%z]+") do
    requests[#requests + 1] = whole
  end
  text = nil
  collectgarbage()
  collectgarbage("stop")
  cpu_before = os.clock()
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  -- The process's time on the processor since the last thread was ready: wrk's own share of a core.
  local cpu = os.clock() - threads[#threads]:get("cpu_before")
  io.write(string.format(
    '\nRESULT {"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d,"cpuMicros":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, cpu * 1e6))
end
