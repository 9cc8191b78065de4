//! Fuzz targets for all that comes from outside, in `targets/`; `make fuzz` runs them. They begin with what stands in `corpus/`,
//! a folder for each: inputs that take other ways through the code, as libFuzzer has found them.
