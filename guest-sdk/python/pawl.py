"""Steps of Pawl in Python.

    from pawl import step

    @step
    def greet(ctx, input):
        "Greets."
        return {"greeting": f"Hello, {input['name']}!"}

`pawl plugin build` puts this module beside the author's and makes a component of both. Input, output,
config and saved state are what `json` makes of JSON. Everything that the outside world answers goes
through the host, which records it: a step that is resumed after a crash gets the same answers again, and
what was done is not done twice. That holds for Python's own `time` and `random` too.
"""

import json as _json
import random as _random
import sys as _sys
import traceback as _traceback
from componentize_py_types import Err as _Err
from wit_world.imports import context as _context
from wit_world.imports import durable as _durable
from wit_world.imports import http as _http
from wit_world.imports import logging as _logging
from wit_world.imports import types as _types


class Failure(Exception):
    """Why a step did not produce an output: made with `Failure.retry` or `Failure.fatal`, and raised."""

    def __init__(self, message, *, fatal=False, after=None, from_checkpoint=False, details=None):
        super().__init__(message)
        self.message, self.is_fatal, self.details = message, fatal, details
        self.after, self.from_checkpoint = after, from_checkpoint

    @classmethod
    def retry(cls, message, *, after=None, from_checkpoint=False, details=None):
        """Another attempt may help, `after` so many seconds if that is given, else when the step's retry
        policy says. `from_checkpoint` forgets every answer since the last checkpoint."""
        return cls(message, after=after, from_checkpoint=from_checkpoint, details=details)

    @classmethod
    def fatal(cls, message, *, details=None):
        """Another attempt would fail the same way."""
        return cls(message, fatal=True, details=details)

    def _wire(self):
        if self.is_fatal:
            kind = _types.FailureKind_Fatal()
        else:
            delay_ms = None if self.after is None else round(self.after * 1000)
            kind = _types.FailureKind_Retry(_types.Retry(delay_ms, self.from_checkpoint))
        return _types.Failure(kind, self.message, None if self.details is None else _write("details", self.details))


class Context:
    """What a step may ask of Pawl."""

    def __init__(self):
        self._info = None
        self.http = Http()

    @property
    def _facts(self):
        self._info = self._info or _context.get()
        return self._info

    # Facts of the attempt. A resumed step sees the same ones.

    run_id = property(lambda self: self._facts.run_id, doc="The run's id.")
    step_name = property(lambda self: self._facts.step_name, doc="The step's name in the pipeline.")
    attempt = property(lambda self: self._facts.attempt, doc="Failed attempts plus one; a crash does not count.")
    config = property(lambda self: _json.loads(self._facts.config), doc="The step's `config` in the pipeline.")
    deadline = property(lambda self: self._facts.deadline_ms / 1000, doc="The attempt's end, seconds since 1970.")

    def secret(self, name):
        """A secret that the pipeline grants the step, or None. It stands in no journal."""
        return _context.secret(name)

    # Time and chance.

    def now(self):
        """Seconds since 1970, recorded."""
        return _durable.now() / 1e9

    def random_bytes(self, count):
        """Random bytes, at most 64 KiB a call: the same on every replay, different between steps."""
        return _durable.random(count)

    def sleep(self, seconds):
        """Lets time pass, hours if need be: the step ends here, holds nothing, and goes on when it is due.
        `time.sleep` holds the worker's slot all the while."""
        _durable.sleep(round(seconds * 1000))

    def await_signal(self, name, timeout=None):
        """Waits, as `sleep` does, for the next signal of that name to this run, and returns what it carries;
        None if none came within `timeout` seconds."""
        signal = _durable.await_signal(name, None if timeout is None else round(timeout * 1000))
        return None if signal is None else _json.loads(signal)

    # Progress that survives the worker.

    def checkpoint(self, state):
        """Saves the step's state: a resumed step goes on from here. Cheap; refused inside `once`."""
        _durable.checkpoint(_write("state", state).encode())
        _seed()

    def restore(self):
        """The state to go on from, or None. Call it first: what comes before it is replayed."""
        state = _durable.restore()
        if state is None:
            return None
        _seed()
        return _json.loads(state)

    # Effects.

    def once(self, key, effect):
        """Calls `effect` unless it was finished before, and returns what it returned, as JSON would have it.
        A worker that dies in the middle does it again. `key` is unique in the step."""
        value = _durable.once_begin(key)
        if value is None:
            value = _write("value of a once", effect()).encode()
            _durable.once_finish(key, value)
        return _json.loads(value)

    def idempotency_key(self, name):
        """The key for an effect of that name: the same in every attempt and on every worker."""
        return _durable.idempotency_key(name)

    # What people see.

    def log(self, message, *, level="info", **fields):
        """A line in the step's log; `level` is trace, debug, info, warn or error."""
        _logging.log(_logging.Level[level.upper()], str(message), [(name, str(value)) for name, value in fields.items()])

    def progress(self, fraction, message=""):
        """How far the step is, from 0 to 1, and a word about it."""
        _logging.progress(float(fraction), message)


class Http:
    """Outgoing HTTP. Methods other than GET, HEAD, OPTIONS and TRACE are effects: they carry the header
    `idempotency-key`, the same in every attempt. `effect` names one, so that its key does not depend on its
    place among the step's effects."""

    def request(self, method, url, *, headers=None, body=b"", json=None, effect=None, timeout=None):
        """Sends and waits for the whole answer, whatever its status; 30 seconds unless `timeout` says other."""
        headers = list((headers or {}).items())
        if json is not None:
            body = _write("body", json)
            headers.append(("content-type", "application/json"))
        body = body.encode() if isinstance(body, str) else bytes(body)
        timeout_ms = None if timeout is None else round(timeout * 1000)
        request = _http.Request(method, url, headers, body, effect, timeout_ms)
        try:
            return Response(url, _http.send(request))
        except _Err as error:
            raise _http_failure(error.value) from None

    def get(self, url, **options):
        """A GET request."""
        return self.request("GET", url, **options)

    def post(self, url, **options):
        """A POST request."""
        return self.request("POST", url, **options)

    def put(self, url, **options):
        """A PUT request."""
        return self.request("PUT", url, **options)

    def delete(self, url, **options):
        """A DELETE request."""
        return self.request("DELETE", url, **options)


class Response:
    """An answer: `url`, `status`, `headers` (names in lower case) and `body` (bytes)."""

    def __init__(self, url, wire):
        self.url, self.status, self.body = url, wire.status, wire.body
        self.headers = {name.lower(): value for name, value in wire.headers}

    def ok(self):
        """The answer itself if its status is below 400; raises a failure otherwise: worth a retry for 408,
        425, 429 and 5xx, fatal for the others."""
        if self.status < 400:
            return self
        message = f"{self.url} answered {self.status}"
        if self.status in (408, 425, 429) or self.status >= 500:
            after = self.headers.get("retry-after", "")
            raise Failure.retry(message, after=int(after) if after.isdigit() else None)
        raise Failure.fatal(message)

    def text(self):
        """The body as text."""
        return self.body.decode()

    def json(self):
        """The body as JSON would have it."""
        return _json.loads(self.body)


def _http_failure(error):
    match error:
        case _http.Error_Invalid(problem):
            return Failure.fatal(f"the request is not valid: {problem}")
        case _http.Error_TooLarge(size):
            return Failure.fatal(f"the answer has {size} bytes, more than a journal entry may have")
        case _http.Error_Connect(problem):
            return Failure.retry(f"no connection: {problem}")
        case _http.Error_Broken(problem):
            return Failure.retry(f"the connection broke: {problem}")
        case _:
            return Failure.retry("no answer in time")


def _seed():
    # The interpreter was started when the component was built: its generator would be the same in all steps.
    # What a checkpoint does to the step's generator, it must do to Python's: a resumed step draws the same.
    _random.seed(_durable.random(32))


def _write(what, value):
    try:
        return _json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise Failure.fatal(f"the {what} can't be written as JSON: {error}") from None


_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)

_step, _options, _project = None, {}, {}


def step(function=None, *, name=None, version=None, needs=()):
    """Makes a function of (ctx, input) the plugin's step. Name and version are the project's, the
    description is the function's doc string."""

    def register(function):
        global _step, _options
        if _step is not None:
            raise TypeError(f"a plugin has one step: {_step.__name__} is one already")
        _step, _options = function, {"name": name, "version": version, "needs": list(needs)}
        return function

    return register if function is None else register(function)


class WitWorld:
    """What the component exports."""

    def describe(self):
        name, version = _options["name"] or _project["name"], _options["version"] or _project["version"]
        description = (_step.__doc__ or _project["description"]).strip()
        return _types.Manifest(name, version, description, None, None, _options["needs"])

    def run(self, input):
        _seed()
        # The interpreter does not end with the step: nobody flushes what is printed.
        _sys.stdout.reconfigure(line_buffering=True)
        try:
            return _write("output", _step(Context(), _json.loads(input)))
        except Failure as failure:
            raise _Err(failure._wire()) from None
        except Exception as error:
            details = {"traceback": _traceback.format_exception(error)}
            message = f"{type(error).__name__}: {error}"
            # A mistake in the program comes again, what the world did may pass.
            fatal = isinstance(error, _MISTAKES)
            raise _Err(Failure(message, fatal=fatal, details=details)._wire()) from None


def _describe(**project):
    """Called by what `pawl plugin build` generates, before the author's module is loaded."""
    _project.update(project)
