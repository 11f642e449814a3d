//! Sockets: UDP, TCP, connections and name resolution.
