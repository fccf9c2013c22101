//! Runs the example `io_master`, with clients that keep to its protocol, and with clients that
//! don't.

#[path = "../../examples/io_master/client.rs"]
mod client;
#[path = "../common/mod.rs"]
mod common;
mod descriptors;
mod ending;
mod good;
mod kills;
mod liars;
mod limits;
mod memory;
mod model;
mod others;
mod raw;
#[path = "../../examples/io_master/ring.rs"]
mod ring;
mod server;
#[path = "../../examples/io_master/socket.rs"]
mod socket;
mod users;
#[path = "../../examples/io_master/wire.rs"]
mod wire;
