/**
 * Steps of Pawl in JavaScript.
 *
 *     import { step } from "pawl";
 *
 *     export default step((ctx, input) => ({ greeting: `Hello, ${input.name}!` }));
 *
 * `pawl plugin build` puts this module beside the author's and makes a component of both. Input, output,
 * config and saved state are what `JSON` makes of them. Everything that the outside world answers goes
 * through the host, which records it: a step that is resumed after a crash gets the same answers again, and
 * what was done is not done twice. That holds for `Date`, `setTimeout` and `fetch` too.
 */

import * as context from "pawl:step/context@0.1.0";
import * as durable from "pawl:step/durable@0.1.0";
import * as wireHttp from "pawl:step/http@0.1.0";
import * as logging from "pawl:step/logging@0.1.0";

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

/** Why a step did not produce an output: made with `Failure.retry` or `Failure.fatal`, and thrown. */
export class Failure extends Error {
  constructor(message, { fatal = false, afterMs, fromCheckpoint = false, details } = {}) {
    super(message);
    Object.assign(this, { fatal, afterMs, fromCheckpoint, details });
  }

  /** Another attempt may help, `afterMs` later if that is given, else when the step's retry policy says.
   *  `fromCheckpoint` forgets every answer since the last checkpoint. */
  static retry(message, options = {}) {
    return new Failure(message, { ...options, fatal: false });
  }

  /** Another attempt would fail the same way. */
  static fatal(message, options = {}) {
    return new Failure(message, { ...options, fatal: true });
  }

  /** As the host takes it. */
  get wire() {
    const { fatal, afterMs, fromCheckpoint, message } = this;
    const delayMs = afterMs === undefined ? undefined : BigInt(Math.round(afterMs));
    const kind = fatal ? { tag: "fatal" } : { tag: "retry", val: { delayMs, fromCheckpoint } };
    const details = this.details === undefined ? undefined : write("details", this.details);
    return { kind, message, details };
  }
}

/** What a step may ask of Pawl. */
class Context {
  #info;
  http = new Http();

  get #facts() {
    return (this.#info ??= context.get());
  }

  // Facts of the attempt. A resumed step sees the same ones.

  /** The run's id. */
  get runId() {
    return this.#facts.runId;
  }

  /** The step's name in the pipeline. */
  get stepName() {
    return this.#facts.stepName;
  }

  /** Failed attempts so far, plus one. A crash of a worker does not count. */
  get attempt() {
    return this.#facts.attempt;
  }

  /** The step's `config` in the pipeline. */
  get config() {
    return JSON.parse(this.#facts.config);
  }

  /** When this attempt is stopped. */
  get deadline() {
    return new Date(Number(this.#facts.deadlineMs));
  }

  /** A secret that the pipeline grants the step, or undefined. It stands in no journal. */
  secret(name) {
    return context.secret(name);
  }

  // Time and chance.

  /** The time, recorded. */
  now() {
    return new Date(Number(durable.now() / 1_000_000n));
  }

  /** Random bytes, at most 64 KiB a call: the same on every replay, different between steps. */
  randomBytes(count) {
    return durable.random(count);
  }

  /** A number from 0 to 1 of the same kind. */
  random() {
    const bytes = durable.random(8);
    return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0) >> 11n) / 2 ** 53;
  }

  /** Lets time pass, hours if need be: the step ends here, holds nothing, and goes on when it is due.
   *  `setTimeout` holds the worker's slot all the while. */
  sleep(ms) {
    durable.sleep(BigInt(Math.round(ms)));
  }

  /** Waits, as `sleep` does, for the next signal of that name to this run, and returns what it carries;
   *  undefined if none came within `timeoutMs`. */
  awaitSignal(name, timeoutMs) {
    const signal = durable.awaitSignal(name, timeoutMs === undefined ? undefined : BigInt(Math.round(timeoutMs)));
    return signal === undefined ? undefined : JSON.parse(signal);
  }

  // Progress that survives the worker.

  /** Saves the step's state: a resumed step goes on from here. Cheap; refused inside `once`. */
  checkpoint(state) {
    durable.checkpoint(encode(write("state", state)));
  }

  /** The state to go on from, or undefined. Call it first: what comes before it is replayed. */
  restore() {
    const state = durable.restore();
    return state === undefined ? undefined : JSON.parse(decode(state));
  }

  // Effects.

  /** Calls `effect` unless it was finished before, and gives what it returned, as JSON would have it. A
   *  worker that dies in the middle does it again. `key` is unique in the step. If `effect` is async, the
   *  answer is a promise. */
  once(key, effect) {
    const finished = durable.onceBegin(key);
    if (finished !== undefined) return JSON.parse(decode(finished));
    const finish = (result) => {
      const value = write("value of a once", result);
      durable.onceFinish(key, encode(value));
      return JSON.parse(value);
    };
    const result = effect();
    return typeof result?.then === "function" ? result.then(finish) : finish(result);
  }

  /** The key for an effect of that name: the same in every attempt and on every worker. */
  idempotencyKey(name) {
    return durable.idempotencyKey(name);
  }

  // What people see.

  /** A line in the step's log; `level` is trace, debug, info, warn or error. */
  log(message, fields = {}, level = "info") {
    logging.log(level, String(message), Object.entries(fields).map(([name, value]) => [name, String(value)]));
  }

  /** How far the step is, from 0 to 1, and a word about it. */
  progress(fraction, message = "") {
    logging.progress(fraction, message);
  }
}

/** Outgoing HTTP. Methods other than GET, HEAD, OPTIONS and TRACE are effects: they carry the header
 *  `idempotency-key`, the same in every attempt. `effect` names one, so that its key does not depend on its
 *  place among the step's effects. */
class Http {
  /** Sends and waits for the whole answer, whatever its status; 30 s unless `timeoutMs` says other. */
  request(method, url, { headers = {}, body = "", json, effect, timeoutMs } = {}) {
    headers = Object.entries(headers);
    if (json !== undefined) {
      body = write("body", json);
      headers.push(["content-type", "application/json"]);
    }
    body = typeof body === "string" ? encode(body) : body;
    try {
      return new Response(url, wireHttp.send({ method, url, headers, body, effect, timeoutMs }));
    } catch (error) {
      throw httpFailure(error);
    }
  }

  /** A GET request. */
  get(url, options) {
    return this.request("GET", url, options);
  }

  /** A POST request. */
  post(url, options) {
    return this.request("POST", url, options);
  }

  /** A PUT request. */
  put(url, options) {
    return this.request("PUT", url, options);
  }

  /** A DELETE request. */
  delete(url, options) {
    return this.request("DELETE", url, options);
  }
}

/** An answer: `url`, `status`, `headers` (names in lower case) and `body` (bytes). */
class Response {
  constructor(url, { status, headers, body }) {
    headers = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
    Object.assign(this, { url, status, headers, body });
  }

  /** The answer itself if its status is below 400; throws a failure otherwise: worth a retry for 408, 425,
   *  429 and 5xx, fatal for the others. */
  ok() {
    if (this.status < 400) return this;
    const message = `${this.url} answered ${this.status}`;
    if (![408, 425, 429].includes(this.status) && this.status < 500) throw Failure.fatal(message);
    const after = this.headers["retry-after"];
    throw Failure.retry(message, { afterMs: /^\d+$/.test(after) ? Number(after) * 1000 : undefined });
  }

  /** The body as text. */
  text() {
    return decode(this.body);
  }

  /** The body as JSON would have it. */
  json() {
    return JSON.parse(this.text());
  }
}

function httpFailure(error) {
  const { tag, val } = error.payload ?? {};
  switch (tag) {
    case "invalid":
      return Failure.fatal(`the request is not valid: ${val}`);
    case "too-large":
      return Failure.fatal(`the answer has ${val} bytes, more than a journal entry may have`);
    case "connect":
      return Failure.retry(`no connection: ${val}`);
    case "broken":
      return Failure.retry(`the connection broke: ${val}`);
    case "timeout":
      return Failure.retry("no answer in time");
    default:
      return error;
  }
}

function write(what, value) {
  const text = JSON.stringify(value);
  if (text === undefined) throw Failure.fatal(`the ${what} can't be written as JSON: it is ${typeof value}`);
  return text;
}

/** Makes a function of (ctx, input), async or not, the plugin's step. Name and version are the package's
 *  unless they are given. */
export function step(run, { name, version, description, needs = [] } = {}) {
  return { run, about: { name, version, description, needs } };
}

/** Called by what `pawl plugin build` generates: what the component exports. */
export function component(step, project) {
  if (typeof step?.run !== "function") {
    throw new TypeError("the plugin's main module must have `export default step((ctx, input) => …)`");
  }
  const about = Object.fromEntries(Object.entries(step.about).filter(([, value]) => value !== undefined));
  return {
    describe: () => ({ inputSchema: undefined, outputSchema: undefined, ...project, ...about }),
    run: async (input) => {
      // The engine was started when the component was built: its generator would be the same in all steps.
      const ctx = new Context();
      Math.random = () => ctx.random();
      try {
        return write("output", (await step.run(ctx, JSON.parse(input))) ?? null);
      } catch (error) {
        throw failure(error).wire;
      }
    },
  };
}

/** A mistake in the program comes again, what the world did may pass. */
function failure(error) {
  if (error instanceof Failure) return error;
  // What `fetch` throws where nobody answers is a TypeError, too; the step's log says why.
  const unanswered = error instanceof TypeError && /^NetworkError/.test(error.message);
  const mistaken = [TypeError, RangeError, ReferenceError, SyntaxError].some((kind) => error instanceof kind);
  const fatal = mistaken && !unanswered;
  return new Failure(String(error), { fatal, details: { stack: String(error?.stack).split("\n") } });
}
