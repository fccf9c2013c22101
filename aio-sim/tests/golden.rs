//! One run, whose trace is the same on every architecture.

#[test]
fn a_run_is_the_same_on_every_architecture() {
    assert_eq!(aio_sim::golden::difference(), None);
}
