-- Sends the lines `METHOD path [body]` of the file BENCH_REQUESTS in turn, each thread its own share, and prints one
-- `RESULT {…}` line. Requests are made before the clock starts, so that wrk spends its time on sending.

local threads = 0

function setup(thread)
  thread:set("share", threads)
  threads = threads + 1
end

function init()
  requests, at = {}, 0
  local number = 0
  for line in io.lines(os.getenv("BENCH_REQUESTS")) do
    if number % 2 == share then
      local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
      local headers = body ~= "" and { ["Content-Type"] = "application/json" } or nil
      requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
    end
    number = number + 1
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format('RESULT {"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d}',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
