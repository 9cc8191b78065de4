//! What is asked all the time costs what it finds, not what is there: lists, explanations, events, the doctor, sweeps and
//! heartbeats read as many pages over twenty thousand runs as over two thousand, and what a queue's index keeps of the past
//! is walked over once. Counted, so that it holds on any machine. `pressure` does the same with a million, and takes its
//! time: `cargo nextest run --workspace --run-ignored only -E 'binary(costs)'`.

mod claims;
mod dead_letters;
mod filled;
mod interrupted;
mod kept_row;
mod lists;
mod logs;
mod pauses;
mod pressure;
mod retention;
mod signals;
mod stored;
mod sweeps;
mod views;
mod waits;
