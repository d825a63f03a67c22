"""celery-batches: a Batches task that flushes 100 requests a call. Its calls run in Celery's pool, so
IN_FLIGHT is the pool's size: threads, which were faster than gevent and solo."""

import os

import httpx
from celery import Celery
from celery_batches import Batches
from kombu import Queue

WINDOW = 100
IN_FLIGHT = int(os.environ["BENCH_IN_FLIGHT"])
URL = httpx.URL(
    os.environ["BENCH_API_URL"],
    params={
        "sdkappid": "1400000000",
        "identifier": "administrator",
        "usersig": "none",
        "random": "1",
        "contenttype": "json",
    },
)

app = Celery("celery_batches_worker", broker=os.environ["BENCH_AMQP_URL"])
app.conf.update(
    task_queues=[
        Queue(
            os.environ["BENCH_QUEUE"],
            no_declare=True,
            # From this it learns that the queue knows no global prefetch.
            queue_arguments={"x-queue-type": "quorum"},
        )
    ],
    task_acks_late=True,
    task_ignore_result=True,
    # Its documentation: 0 (unlimited) or at least flush_every.
    worker_prefetch_multiplier=WINDOW,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_detect_quorum_queues=True,
    broker_connection_retry_on_startup=True,
)
client = httpx.Client(
    limits=httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
)


@app.task(base=Batches, name="clear_tags", flush_every=WINDOW, flush_interval=0.1)
def clear_tags(requests):
    users = [request.args[0] for request in requests]
    answer = client.post(URL, json={"To_Account": users})
    code = answer.json()["ErrorCode"]
    if code != 0:
        raise RuntimeError(f"the API answers {code}")
