"""mq-bridge: amqp -> http_bulk. The core is Rust; Python only hands it this route."""

import os
import signal
from urllib.parse import urlsplit

from mq_bridge import Route

WINDOW = 100
IN_FLIGHT = int(os.environ["BENCH_IN_FLIGHT"])
api = urlsplit(os.environ["BENCH_API_URL"])
query = "sdkappid=1400000000&identifier=administrator&usersig=none&random=1&contenttype=json"

route = Route.from_config(
    {
        "input": {
            "amqp": {
                "url": os.environ["BENCH_AMQP_URL"],
                "queue": os.environ["BENCH_QUEUE"],
                "prefetch_count": WINDOW * (IN_FLIGHT + 2),
            }
        },
        "output": {
            "http_bulk": {
                "url": f"{api.scheme}://{api.netloc}",
                # Not `delete`, which would send one request at a time.
                "upsert": {
                    "path": f"{api.path}?{query}",
                    "format": "json_array",
                    "document": '"${payload:user_id}"',
                    "envelope": '{"To_Account": {documents}}',
                    "max_documents": WINDOW,
                },
            }
        },
        "batch_size": WINDOW,
        # It never waits for a window to fill: with 32 the same work takes four times the calls, and
        # longer.
        "concurrency": max(1, IN_FLIGHT // 8),
    }
)
signal.signal(signal.SIGTERM, lambda *_: route.stop())
route.start()
route.join()
