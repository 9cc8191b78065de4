// A step in JavaScript. It does what `hello-python` does in Python: reads meters one by one, reports each reading
// if it is told where, and saves a checkpoint after each. Time, chance, waiting and `fetch` are JavaScript's own,
// and a resumed step sees them as they were.

import { Failure, step } from "pawl";
import { pause } from "./lib/wait.js";

/** Reads meters one by one, with a checkpoint after each. */
export default step(
  async (ctx, { meters, pause_ms = 0, report_to }) => {
    if (meters < 1) throw Failure.fatal("there must be a meter to read", { details: { meters } });
    const readings = ctx.restore() ?? [];
    while (readings.length < meters) {
      const meter = readings.length;
      const reading = Math.floor(Math.random() * 1000);
      console.log(`meter ${meter} shows ${reading} at ${new Date().toISOString()}`);
      await pause(pause_ms);
      if (report_to) await report(`${report_to}/${meter}`, meter, reading);
      readings.push(reading);
      ctx.checkpoint(readings);
      ctx.progress(readings.length / meters);
    }
    return { readings, receipt: await ctx.once("receipt", async () => Math.random().toString(16).slice(2, 10)) };
  },
  { needs: ["http"] },
);

async function report(url, meter, reading) {
  // The header names the effect; the host derives the key from it.
  const headers = { "content-type": "application/json", "idempotency-key": `meter ${meter}` };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ reading }) });
  if (!answer.ok) throw Failure.retry(`${url} answered ${answer.status}`);
  await answer.text();
}
