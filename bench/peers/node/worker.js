// rabbitmq-client + undici: windows of up to 100 user IDs, IN_FLIGHT calls at once, messages
// acknowledged with `multiple` in order of delivery once their calls are done.
import { Connection } from 'rabbitmq-client'
import { Pool } from 'undici'

const WINDOW = 100
const MAX_WAIT_MS = 100
const inFlight = Number(process.env.BENCH_IN_FLIGHT)
const api = new URL(process.env.BENCH_API_URL)
const pool = new Pool(api.origin, { connections: inFlight })
const path = `${api.pathname}?sdkappid=1400000000&identifier=administrator&usersig=none&random=1&contenttype=json`

const connection = new Connection(process.env.BENCH_AMQP_URL)
const channel = await connection.acquire()
await channel.basicQos({ prefetchCount: WINDOW * (inFlight + 2) })

let waiting = []
let timer
let calls = 0
// The last tag of every window, oldest first, and whether its call is done.
const open = []

async function call(messages) {
  const window = { tag: messages.at(-1).tag, done: false }
  open.push(window)
  calls += 1
  const body = JSON.stringify({ To_Account: messages.map((message) => message.user) })
  const answer = await pool.request({
    path,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  const { ErrorCode: code } = await answer.body.json()
  if (code !== 0) throw new Error(`the API answers ${code}`)
  calls -= 1
  window.done = true
  let last
  while (open[0]?.done) last = open.shift().tag
  if (last !== undefined) channel.basicAck({ deliveryTag: last, multiple: true })
  next(false)
}

function next(expired) {
  while (calls < inFlight && (waiting.length >= WINDOW || (expired && waiting.length > 0))) {
    const messages = waiting.slice(0, WINDOW)
    waiting = waiting.slice(WINDOW)
    call(messages)
  }
  if (waiting.length === 0) {
    clearTimeout(timer)
    timer = undefined
  } else if (timer === undefined) {
    timer = setTimeout(() => {
      timer = undefined
      next(true)
    }, MAX_WAIT_MS)
  }
}

await channel.basicConsume({ queue: process.env.BENCH_QUEUE }, (message) => {
  waiting.push({ tag: message.deliveryTag, user: message.body.user_id })
  if (waiting.length >= WINDOW || timer === undefined) next(false)
})

process.on('SIGTERM', async () => {
  await connection.close()
  await pool.close()
  process.exit(0)
})
