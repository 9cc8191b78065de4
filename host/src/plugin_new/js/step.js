// The step of this plugin.

import { step } from "pawl";

/** Greets as often as it is asked to. */
export default step((ctx, input) => {
  // After a crash the step goes on from what it saved last.
  const greetings = ctx.restore() ?? [];
  while (greetings.length < input.times) {
    greetings.push(`Hello, ${input.name}, for time number ${greetings.length + 1}!`);
    ctx.checkpoint(greetings);
  }
  return { greetings };
});
