// The guide's examples of mistakes include this: it runs a test that must fail, and returns what it fails with.
{
    fn complaint<T>(test: impl FnOnce() -> T) -> String {
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(test())));
        let message = failed.expect_err("the test kit should find a mistake here");
        message.downcast_ref::<String>().cloned().expect("the test kit's complaints are texts")
    }
    complaint
}
