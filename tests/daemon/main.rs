//! The real binary on ephemeral ports: its API, its reloads, its streams, its start and its end. The peers are text on
//! sockets and import nothing of Baton.

mod api;
mod cli;
mod house;
mod http;
mod life;
mod phone;
mod reload;
mod stream;
