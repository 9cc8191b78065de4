/** Lets time pass; for long waits there is `ctx.sleep`. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
