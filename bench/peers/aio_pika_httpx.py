"""aio-pika + httpx on uvloop: windows of 100 user IDs or 100 ms, IN_FLIGHT calls at once, messages
acknowledged with `multiple` in order of delivery once their calls are done."""

import asyncio
import os
import signal
from collections import deque

import aio_pika
import httpx
import orjson
import uvloop

WINDOW = 100
MAX_WAIT = 0.1
IN_FLIGHT = int(os.environ["BENCH_IN_FLIGHT"])
API = os.environ["BENCH_API_URL"]
QUERY = {
    "sdkappid": "1400000000",
    "identifier": "administrator",
    "usersig": "none",
    "random": "1",
    "contenttype": "json",
}


class Worker:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.url = httpx.URL(API, params=QUERY)
        self.slots = asyncio.Semaphore(IN_FLIGHT)
        self.waiting: list[aio_pika.abc.AbstractIncomingMessage] = []
        self.timer: asyncio.TimerHandle | None = None
        # The windows, oldest first: the last message of each, and whether its call is done.
        self.open: deque[list] = deque()
        self.calls: set[asyncio.Task] = set()

    async def take(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        self.waiting.append(message)
        if len(self.waiting) >= WINDOW:
            self.seal()
        elif self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(MAX_WAIT, self.seal)

    def seal(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        messages, self.waiting = self.waiting, []
        if messages:
            window = [messages[-1], False]
            self.open.append(window)
            task = asyncio.create_task(self.call(messages, window))
            self.calls.add(task)
            task.add_done_callback(self.calls.discard)

    async def call(self, messages: list, window: list) -> None:
        users = [orjson.loads(message.body)["user_id"] for message in messages]
        async with self.slots:
            answer = await self.client.post(
                self.url,
                content=orjson.dumps({"To_Account": users}),
                headers={"content-type": "application/json"},
            )
        code = orjson.loads(answer.content)["ErrorCode"]
        if code != 0:
            raise RuntimeError(f"the API answers {code}")
        window[1] = True
        last = None
        while self.open and self.open[0][1]:
            last = self.open.popleft()[0]
        if last is not None:
            await last.ack(multiple=True)


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    connection = await aio_pika.connect(os.environ["BENCH_AMQP_URL"])
    async with httpx.AsyncClient(limits=limits) as client, connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=WINDOW * (IN_FLIGHT + 2))
        queue = await channel.get_queue(os.environ["BENCH_QUEUE"], ensure=False)
        await queue.consume(Worker(client).take)
        await stop.wait()


uvloop.run(main())
