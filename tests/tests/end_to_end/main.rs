//! Pawl as users run it, with everything that may go wrong made to go wrong: one program for all
//! end-to-end tests, since linking one is quicker than linking ten. Each test has its own servers and ends
//! with the check of all promises over the whole database.

/// One test for each line of `test: point action;`, so that a failure has a name and tests run side by side: a call
/// of the module's own `breaks(test, point, action)`.
macro_rules! broken_at {
    ($($test:ident: $point:literal $action:literal;)*) => {
        $(
            #[test]
            fn $test() -> Result<()> {
                breaks(stringify!($test), $point, $action)
            }
        )*
    };
}

mod ahead;
mod api_tls;
mod backup;
mod bad_input;
mod bad_steps;
mod budgets;
mod chaos;
mod circuits;
mod clocks;
mod command_line;
mod crowd;
mod cut_off;
mod database_roles;
mod database_tls;
mod databases;
mod dead_letters;
mod deliveries;
mod demo;
mod deploy_page;
mod deployed;
mod dev;
mod divergence;
mod drill;
mod effects;
mod embedded;
mod fail;
mod failures;
mod fault_points;
mod faults;
mod guide;
mod head_start;
mod incidents;
mod languages;
mod late;
mod late_anywhere;
mod logs;
mod main_flow;
mod memory;
mod metrics;
mod neighbours;
mod newer;
mod operators;
mod outages;
mod parallel;
mod pauses;
mod pipelines;
mod plugin_new;
mod plugin_test;
mod pressure;
mod reach;
mod readme;
mod recoveries;
mod redis;
mod redis_access;
mod reload;
mod resume;
mod retention;
mod runbooks;
mod schemas;
mod sealed;
mod secrets;
mod settings;
mod side_by_side;
mod signals;
mod silence;
mod stored_secrets;
mod takeover_time;
mod terminals;
mod tokens;
mod told;
mod traces;
mod views;
mod waits;
mod zombie;
