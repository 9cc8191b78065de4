// Looks at what a program in JavaScript has of a system, for the tests of WASI.

import { step } from "pawl";

export default step((ctx, { look_at, url }) => looks[look_at](url));

const looks = {
  async timers() {
    const order = [];
    const nap = (ms, name) => new Promise((done) => setTimeout(() => done(order.push(name)), ms));
    await Promise.all([nap(60, "long"), nap(20, "short"), nap(0, "none")]);
    return order;
  },
  async unreachable(url) {
    try {
      return `answered ${(await fetch(url)).status}`;
    } catch (error) {
      return error.name;
    }
  },
  async streamed(url) {
    const answer = await fetch(url);
    const reader = answer.body.getReader();
    let size = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) size += part.value.length;
    return { status: answer.status, type: answer.headers.get("content-type"), size };
  },
};
