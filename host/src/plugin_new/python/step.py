"""The step of this plugin."""

from pawl import step


@step
def greet(ctx, input):
    """Greets as often as it is asked to."""
    # After a crash the step goes on from what it saved last.
    greetings = ctx.restore() or []
    while len(greetings) < input["times"]:
        greetings.append(f"Hello, {input['name']}, for time number {len(greetings) + 1}!")
        ctx.checkpoint(greetings)
    return {"greetings": greetings}
