//! Bytes as a file of a pipeline: problems that can be shown in it, or a pipeline that is the same when it is read from what is
//! stored of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pawl_domain::limits::Limits;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::pipeline_file::{Format, read, render};

fuzz_target!(|bytes: &[u8]| {
    let Some((format, file)) = bytes.split_first() else { return };
    let format = if *format == b'{' { Format::Json } else { Format::Toml };
    match read(file, format, &Limits::default(), None) {
        Ok(pipeline) => {
            let stored: Pipeline = serde_json::from_slice(&pipeline.canonical()).expect("what is stored can be read");
            assert_eq!(stored, pipeline);
            assert_eq!(stored.digest(), pipeline.digest());
            assert_eq!(pipeline.successors().len(), pipeline.steps.len());
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let shown = render(&problems, "fuzzed", &String::from_utf8_lossy(file));
            assert!(!shown.is_empty());
        }
    }
});
