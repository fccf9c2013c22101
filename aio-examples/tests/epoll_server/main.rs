//! Runs the example `epoll_server`, with clients that keep to its protocol, and with clients that
//! don't.

#[path = "../../examples/epoll_server/client.rs"]
mod client;
#[path = "../common/mod.rs"]
mod common;
mod ending;
mod good;
mod liars;
mod limits;
mod model;
#[path = "../../examples/epoll_server/protocol.rs"]
mod protocol;
mod server;
mod wire;
