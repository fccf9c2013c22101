//! Runs the example `copy`, and its engine on a kernel that makes transfers short.

mod common;
#[path = "../examples/copy/data.rs"]
mod data;
#[path = "../examples/copy/draft.rs"]
mod draft;
#[path = "../examples/copy/engine.rs"]
mod engine;
#[path = "copy/files.rs"]
mod files;
#[path = "copy/identical.rs"]
mod identical;
#[path = "copy/keeps.rs"]
mod keeps;
#[path = "copy/killed.rs"]
mod killed;
#[path = "copy/names.rs"]
mod names;
#[path = "copy/refuses.rs"]
mod refuses;
#[path = "../examples/copy/run.rs"]
mod run;
#[path = "copy/short.rs"]
mod short;
