//! Prints the run that has to be the same on every machine.
//!
//! ```text
//! cargo run -p aio-sim --example golden > run.txt && mv run.txt aio-sim/src/golden.txt
//! ```

fn main() {
    print!("{}", aio_sim::golden::run());
}
