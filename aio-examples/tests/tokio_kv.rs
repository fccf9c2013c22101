//! Runs the example `tokio_kv` as a server, kills it, fails its power, and damages its files.

#[path = "tokio_kv/clients.rs"]
mod clients;
mod common;
#[path = "tokio_kv/damage.rs"]
mod damage;
#[path = "tokio_kv/kills.rs"]
mod kills;
#[path = "tokio_kv/model.rs"]
mod model;
#[path = "tokio_kv/operations.rs"]
mod operations;
#[path = "tokio_kv/power.rs"]
mod power;
#[path = "tokio_kv/server.rs"]
mod server;
