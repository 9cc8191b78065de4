//! Pages in a real browser: that they stay current, are used with the keyboard, work with scripts off, fit a phone, can
//! be read by whoever does not see them, and load nothing from elsewhere. `make test-pages` executes them, and installs
//! the browser.

mod built;
mod found;
mod furnished;
mod lives;
mod looks;
mod operated;
mod tended;
mod things;
mod used;
