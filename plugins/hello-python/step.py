"""A step in Python. It does what `hello-js` does in JavaScript: reads meters one by one, reports each reading if
it is told where, and saves a checkpoint after each. Time, chance and waiting are Python's own, and a resumed
step sees them as they were."""

import random
import time

from pawl import Failure, step


@step(needs=["http"])
def hello(ctx, input):
    """Reads meters one by one, with a checkpoint after each."""
    meters = input["meters"]
    if meters < 1:
        raise Failure.fatal("there must be a meter to read", details={"meters": meters})
    readings = ctx.restore() or []
    while len(readings) < meters:
        meter = len(readings)
        reading = random.randrange(1000)
        print(f"meter {meter} shows {reading} at {time.strftime('%H:%M:%S', time.gmtime(time.time()))}")
        time.sleep(input.get("pause_ms", 0) / 1000)
        if "report_to" in input:
            # Named, so that its key does not depend on how many came before.
            url = f"{input['report_to']}/{meter}"
            ctx.http.post(url, json={"reading": reading}, effect=f"meter {meter}").ok()
        readings.append(reading)
        ctx.checkpoint(readings)
        ctx.progress(len(readings) / meters)
    return {"readings": readings, "receipt": ctx.once("receipt", lambda: random.randbytes(4).hex())}
