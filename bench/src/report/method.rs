//! The parts of RESULTS.md that do not depend on the measurements.

use super::thousands;
use crate::results::Results;

pub(super) const INTRODUCTION: &str = "\
Written by `make bench`, which measures everything here on one machine and draws the charts; every single run is in
[results.json](results.json). Broker, API and contestant share the machine, so compare ratios within a table rather than
absolute figures.
";

/// The section that describes the method.
pub(super) fn written(results: &Results) -> String {
    let ceiling = results.api_ceiling.map_or_else(String::new, |ceiling| {
        format!(
            " Without latency it answers {} calls a second with {} IDs to 16 connections, on the same machine.",
            thousands(ceiling.calls_per_second),
            thousands(ceiling.ids_per_second),
        )
    });
    format!("{METHOD}{ceiling}\n{SETTINGS}")
}

const METHOD: &str = "
## Method

- **A run.** The queue is created (quorum, single active consumer) on a broker node that serves all runs, and filled with
  persistent messages, one user each, 154 bytes of JSON. Then the contestant starts. The run ends when the API has cleared
  every user and the queue holds no message, ready or unacknowledged; a message that is returned after the contestant's
  end fails the benchmark.
- **Time** is from the first call at the API to the last user cleared; for the bare consumer, from the first delivery to
  the last acknowledgement.
- **CPU** is user and system time of the process and its children, from its start to the end of the run. **Peak RSS**
  is `VmHWM`.
- **Rounds.** In each round, every contestant runs at every latency; the order rotates. Slow contestants get a shorter
  backlog, at least some seconds of work.
- **At the quota** the rate is measured between the first and the last call, and CPU is relative to the lifetime of the process.
- **The API** is a thread of the benchmark: HTTP/1.1 with keep-alive. It checks the form of each call, and
  counts.";

const SETTINGS: &str = "
### Settings

All contestants have 64 calls in flight (256 at 200 ms), windows of 100, and a prefetch of 100 × (calls in flight + 2) or the
nearest possible value. The calls in flight limit all of them to 320,000 IDs/s at 20 ms and to 128,000 IDs/s at 200 ms.

- **tagsweep**: the release binary with all safeguards on; `im.calls_per_second = 10000`, its maximum, `im.max_in_flight` as
  above, and defaults otherwise.
- **Bare consumer** ([source](peers/bare_lapin.rs)): lapin, an acknowledgement for every 100 messages, no calls. No
  program built on lapin can be faster.
- **mq-bridge** ([route](peers/mq_bridge_route.py)): its Rust core, started from Python. It can only declare classic
  queues, so its queue is classic. It has an eighth of the calls in flight: with more it is slower, and its calls have fewer IDs.
- **Node rabbitmq-client + undici** ([source](peers/node/worker.js)) and **Python aio-pika + httpx**
  ([source](peers/aio_pika_httpx.py), on uvloop, with orjson): a short worker as a good developer would write it, with
  windows of 100 ms and acknowledgements of whole windows in order.
- **celery-batches** ([source](peers/celery_batches_worker.py)): a pool of threads, which was faster than gevent and solo; messages are in Celery's own format.

The peers run without retries, dead letters, a quota or handling of single users; tagsweep does all of this in every run.
";
