# Everything sets itself up on a machine with Rust, a C compiler, Python and apt, and uses only servers of
# its own: private Postgres and Redis in a folder of their own, on free ports. The demo needs none.
#
#   make demo            the demo pipeline on `pawl dev`, which is killed in the middle
#   make check           formatting, lints and the tests that need no server: for the minute between two edits
#   make test            all checks and all tests; with EVERYTHING=yes, as in CI, also test-languages and test-pages
#   make test-plain      the end-to-end tests without run-ahead: the plain flow alone keeps every promise
#   make side-by-side    the build before this one beside this one: an upgrade and the way back, under load and kills
#   make pressure        millions of runs, ten minutes of faults, an hour of load: counts pages, says times and rates; two hours
#   make test-languages  steps in Python and JavaScript; sets up their compilers in .pawl
#   make test-pages      the web pages in a real browser, which it installs
#   make fuzz            what comes from outside, ten minutes for each kind; FUZZ_SECONDS says for how long instead
#   make fuzz-minute     the same for a minute
#   make drill           the recovery drill; summary and logs in target/drill
#   make freeze          lists new migrations as landed: they do not change any more
#   make package         the crates as a registry takes them, each compiled from its package alone
#   make licences        licences, sources and known holes of dependencies; with PAWL_ADVISORIES=required no unchecked ones
#   make sbom            what `pawl` is made of, as CycloneDX, in target/pawl.cdx.json
#   make bench           on a release build: five loads as ratios to this machine's own floor, what safety costs, what open pages cost

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help check demo freeze fuzz fuzz-minute package test test-plain side-by-side pressure test-languages test-pages languages browser drill bench build build-tests guests test-guests lint docs doctests licences sbom setup setup-servers setup-test

# Each recipe begins with it: the Rust toolchain is found and named tools are in PATH.
env := . .ci/env
export CARGO_TERM_COLOR ?= auto

# What takes too long to be among the others.
long := test(pressure_) or test(side_by_side::)

# Tests wait for much of their time, for leases to end and servers to come back: two more than there are processors.
side_by_side := --test-threads $$(($$(nproc) + 2))

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@.ci/setup

setup-servers:
	@.ci/setup servers

setup-test:
	@.ci/setup test

# $(1): their folders.
define build_guests
	$(env)
	echo "building the guests into target/plugins" >&2
	target/debug/pawl plugin build $(1) >target/guests.log 2>&1 || { cat target/guests.log >&2; exit 1; }
endef
all_guests := $$(dirname plugins/*/Cargo.toml)

# All programs at once: the features of dependencies are those of the whole workspace, so that nothing is built
# twice.
build: setup
	@$(env)
	cargo build --workspace --bins

guests: build
	@$(call build_guests,$(all_guests))

# The same programs, and the tests, which ask for more features of some dependencies.
build-tests: setup-test
	@$(env)
	cargo nextest run --workspace --no-run

test-guests: build-tests
	@$(call build_guests,$(all_guests))

demo: build
	@$(call build_guests,plugins/demo-*)
	target/debug/demo

drill: setup-servers guests
	@$(env)
	target/debug/pawl drill recovery --artifacts-dir target/drill

bench: setup-servers guests
	@$(env)
	cargo build --quiet --release --workspace --bins
	target/release/bench

check: setup-test
	@$(env)
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo nextest run --workspace --lib --status-level fail

package: setup-test
	@$(env)
	cargo package --quiet --workspace --exclude pawl-tests --exclude pawl-fuzz $(foreach dir,$(wildcard plugins/*/Cargo.toml),--exclude $(notdir $(patsubst %/Cargo.toml,%,$(dir)))) --target-dir target/package
	ls target/package/package/*.crate

freeze:
	@.ci/frozen --add

lint: setup-test
	@$(env)
	.ci/frozen --self-test
	.ci/frozen
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings

licences: setup-test
	@.ci/licences

sbom:
	@mkdir -p target
	.ci/sbom target/pawl.cdx.json
	echo target/pawl.cdx.json

docs: setup-test
	@$(env)
	RUSTDOCFLAGS=-Dwarnings cargo doc --quiet --workspace --no-deps --document-private-items

doctests: setup-test
	@$(env)
	cargo test --quiet --workspace --doc

languages: build-tests
	@.ci/setup languages
	@$(env)
	echo "building the plugins in other languages into target/plugins" >&2
	target/debug/pawl plugin build plugins/hello-python plugins/hello-js tests/probe-python tests/probe-js --out-dir target/plugins

browser:
	@.ci/setup browser

# They are ignored elsewhere, because they need what is built here.
test-languages: setup-test languages
	@$(env)
	cargo nextest run --workspace --run-ignored only -E 'not ($(long)) and not binary(browser)'

# With PAWL_BLESS=1 it makes the pictures of docs/pages.md anew.
test-pages: test-guests browser
	@$(env)
	cargo nextest run --workspace --run-ignored only -E 'binary(browser)'

test-plain: test-guests
	@$(env)
	echo "the end-to-end tests once more, without run-ahead" >&2
	PAWL_RUN_AHEAD=false cargo nextest run --workspace $(side_by_side) -E 'binary(end_to_end)'

# They are ignored elsewhere, because they take long.
pressure: test-guests
	@$(env)
	cargo nextest run --workspace --run-ignored only --no-capture -E 'test(pressure_)'

# The other build is made once, and kept.
side-by-side: test-guests
	@$(env)
	PAWL_PREVIOUS=$$(.ci/previous)
	export PAWL_PREVIOUS
	cargo nextest run --workspace --run-ignored only -E 'test(side_by_side::)'

# What is new to libFuzzer becomes part of its corpus, which is committed.
fuzz: test-guests
	@.ci/fuzz $${FUZZ_SECONDS:-600} keep

# Each for a minute, side by side.
fuzz-minute: test-guests
	@.ci/fuzz 60

# With EVERYTHING=yes, as CI has it, also those of `test-languages` and `test-pages`, in the same run, since they wait for much of it.
ifdef EVERYTHING
beside := languages browser
everything := --run-ignored all -E 'not ($(long))'
endif

# What could not be checked stands among the last lines.
test: lint licences docs test-guests doctests $(beside)
	@$(env)
	trap '.ci/licences warn' EXIT
	cargo nextest run --workspace $(side_by_side) $(everything)
